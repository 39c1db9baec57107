"""People with passwords, as the tests of logging in need them."""

import functools
from typing import Any

from sqlalchemy import update

from reporting.tables import users
from sync_server.identity.passwords import hash_password
from sync_server.identity.users import insert_user
from tests.administration.office import Office
from tests.api.calls import Answer, Api

EMAIL = "ada@example.org"
PASSWORD = "correct horse battery"


@functools.cache
def password_hash(password: str = PASSWORD) -> str:
    """Made once: each one costs a tenth of a second."""
    return hash_password(password)


def join(office: Office, email: str = EMAIL, *, role: Any = "researcher", temporary: bool = False) -> int:
    """Somebody with an account and `PASSWORD`; their number."""
    with office.gateway.database() as engine, engine.begin() as connection:
        person = connection.execute(insert_user(email, password_hash(), role)).scalar_one()
        connection.execute(update(users).where(users.c.id == person).values(password_is_temporary=temporary))
    return person


async def log_in(api: Api, password: str = PASSWORD, *, email: str = EMAIL, **fields: str) -> Answer:
    form = {"username": email, "password": password, **fields}
    return await api.sending().call("POST", "/api/auth/login", data=form)


async def tokens(api: Api, **fields: str) -> Any:
    """Of a login that has to work."""
    answer = await log_in(api, **fields)
    assert answer.status == 200, answer.body
    return answer.body


def bearer(api: Api, tokens: Any) -> Api:
    """The same client as whoever has these tokens."""
    return api.sending(Authorization=f"Bearer {tokens['access_token']}")


async def refresh(api: Api, token: str) -> Answer:
    return await api.sending().call("POST", "/api/auth/refresh", json={"refresh_token": token})

"""`/api/user-sessions`: logins, one's own or for who manages accounts anybody's, and ending them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import ColumnElement

from reporting.tables import logins
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.route import delete, get
from sync_server.errors import NotFound
from sync_server.identity.logins import Login, end, select_logins, select_owner

PersonId = Annotated[int, Meta(ge=1, le=10**18)]


class LoginsQuery(ListQuery, frozen=True, kw_only=True):
    """`person`: somebody else, for who manages accounts. `active`: those that last; false: the others."""

    person: PersonId | None = None
    active: bool = True


class PersonQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`person`: somebody else, for who manages accounts."""

    person: PersonId | None = None


async def list_logins(call: Call[LoginsQuery, Nothing]) -> PageOf[Login]:
    """List logins, one's own unless told otherwise; those that last, newest first."""
    person = _person(call, call.query.person)
    statement = select_logins(person, current=call.caller.login, lasting=call.query.active)
    return await call.page(
        Login,
        statement,
        sortable={
            "created_at": logins.c.created_at,
            "last_used_at": logins.c.last_used_at,
            "expires_at": logins.c.expires_at,
        },
        key=[logins.c.created_at.desc(), logins.c.id],
    )


async def end_login(call: Call[Nothing, Nothing]) -> None:
    """End a login, at once and everywhere; one that has ended stays as it is."""
    login = call.path("login")
    found = await call.connection.scalar(select_owner(login))
    if found is None or (found != call.caller.person.id and not _manages_accounts(call)):
        raise NotFound("There is no such login.")
    if await end(call.connection, "ended", logins.c.id == login):
        await call.record("login.end", "login", login, after={"reason": "ended", "person": found})


async def end_others(call: Call[PersonQuery, Nothing]) -> None:
    """End all logins but the one that asks; with `person`, all of theirs."""
    person = _person(call, call.query.person)
    which: list[ColumnElement[bool]] = [logins.c.person == person]
    if person == call.caller.person.id and call.caller.login is not None:
        which.append(logins.c.id != call.caller.login)
    ended = await end(call.connection, "ended", *which)
    if ended:
        await call.record("login.end_all", "user", str(person), after={"logins_ended": len(ended)})


def _manages_accounts(call: Call[Any, Any]) -> bool:
    return call.caller.scope("users.manage").is_everything


def _person(call: Call[Any, Any], wanted: int | None) -> int:
    if wanted is None or wanted == call.caller.person.id:
        return call.caller.person.id
    call.caller.require_everywhere("users.manage")
    return wanted


ROUTES = [
    get("/api/user-sessions", list_logins, right="own account"),
    delete("/api/user-sessions", end_others, right="own account", status=204),
    delete("/api/user-sessions/{login}", end_login, right="own account", status=204),
]

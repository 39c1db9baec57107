"""People's accounts: creating, whose password it is, and the first admin.

A fresh system has nobody who could create accounts, so the operator names a first admin in the settings.
Several processes read the same settings and start at once: a lock that Postgres holds until the transaction
ends lets one of them look and create, and the others find it done. Setting them later, or changing the
password in them, does nothing: an admin exists, and the settings are not a back door.

Email addresses are compared in lower case.
"""

import re
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import users
from sync_server.identity.access_tokens import Person, Role
from sync_server.identity.passwords import hash_password, verify_password

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


class InvalidEmail(ValueError):
    """An email address reads `name@host` and has 254 characters at most."""

    def __init__(self, email: str) -> None:
        super().__init__(f"{email!r} is no email address: {self.__doc__}")


class EmailTaken(Exception):
    """There is an account with this email address already."""

    def __init__(self, email: str) -> None:
        super().__init__(f"{email}: {self.__doc__}")


def normalise_email(email: str) -> str:
    """The address as it is stored. Raises InvalidEmail."""
    address = email.strip().lower()
    if _EMAIL.fullmatch(address) is None:
        raise InvalidEmail(email)
    return address


class Account(NamedTuple):
    """An active account whose password was shown; `password_hash` is the one that it has."""

    person: Person
    password_hash: str


def insert_user(
    email: str, password_hash: str | None, role: Role | None, **more: Any
) -> ReturningInsert[int]:
    """Statement: a new account → its id; no row when the address is taken. `more`: other columns."""
    return (
        insert(users)
        .values(email=email, password_hash=password_hash, role=role, **more)
        .on_conflict_do_nothing(index_elements=[users.c.email])
        .returning(users.c.id)
    )


def select_login(email: str) -> Select[int, str, Role | None, bool, str | None]:
    """Statement: (id, email, role, active, password_hash) of the account with this address."""
    columns = (users.c.id, users.c.email, users.c.role, users.c.active, users.c.password_hash)
    return select(*columns).where(users.c.email == email)


def select_password_hash(person: int) -> Select[str | None]:
    """Statement: the hash of the password that the account has now."""
    return select(users.c.password_hash).where(users.c.id == person)


def select_active_id(email: str) -> Select[int]:
    """Statement: the id of the active account with this address."""
    return select(users.c.id).where(users.c.email == email, users.c.active)


def lock_active(person: int) -> Select[int, str, Role | None]:
    """Statement: (id, email, role) of an active account, which stays so until the transaction ends."""
    u = users.c
    return select(u.id, u.email, u.role).where(u.id == person, u.active).with_for_update()


def create_user(
    connection: Connection, *, email: str, password: str, role: Role | None, temporary: bool = False
) -> Person:
    """Create an account in the caller's transaction; a temporary password has to be changed at the first
    login. Blocks for about 0.1 s.

    Raises InvalidEmail, EmailTaken or `passwords.UnusablePassword`.
    """
    address = normalise_email(email)
    created = connection.execute(
        insert_user(address, hash_password(password), role, password_is_temporary=temporary)
    ).scalar_one_or_none()
    if created is None:
        raise EmailTaken(address)
    return Person(id=created, email=address, role=role)


def create_first_admin(connection: Connection, *, email: str, password: str) -> Person | None:
    """Create the first admin in the caller's transaction; None when there is (or was) an admin already.

    Raises as `create_user` does: EmailTaken means that the address belongs to somebody who is no admin.
    """
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("first admin", 0))))
    if connection.execute(select(users.c.id).where(users.c.role == "admin").limit(1)).first() is not None:
        return None
    return create_user(connection, email=email, password=password, role="admin")


async def check_password(engine: AsyncEngine, *, email: str, password: str) -> Account | None:
    """Whose email and password these are, with the hash that was looked at: it may be another one by now.
    None when nobody's, or the account is closed.

    Takes as long for an address without an account. No connection is held while the password is hashed.
    """
    try:
        address = normalise_email(email)
    except InvalidEmail:
        login = None
    else:
        async with engine.connect() as connection:
            login = (await connection.execute(select_login(address))).one_or_none()
    verified = await verify_password(password, login.password_hash if login is not None else None)
    if login is None or login.password_hash is None or not verified or not login.active:
        return None
    return Account(Person(id=login.id, email=login.email, role=login.role), login.password_hash)

"""Logins: one act of logging in, and the family of refresh tokens that it lasts by.

A refresh token is used once and gives the next one. Whoever shows it a second time either stole it or was
stolen from, and nothing tells which: the login ends, for both. Two that show the same token at once meet at
its row, and the second one finds it used: one wins, and the login ends all the same. So does it for a client
whose answer was lost on the way and who tries again with the old token. That is the price, and it is small:
the person logs in again. A client asks once at a time and stores the new token before it uses it.

| what is shown | what happens |
|---|---|
| the login's newest token | the next one; the login lasts anew |
| one that was used | the login ends (`refresh_token_reused`), and its access tokens with it |
| one that has expired, of an ended login, of a closed account, unknown | nothing changes |
| the process dies before the commit | the token shown is still good |
| … after it, before the answer | the person logs in again |

What ends a login tells every process (`NOTIFY`, see `ended_logins`), in the same transaction.
"""

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Delete,
    Executable,
    Insert,
    Select,
    Update,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from reporting.tables import logins, refresh_tokens, users
from sync_server.identity.access_tokens import Person, Role
from sync_server.identity.secret_tokens import digest, new_token

ENDED_CHANNEL = "logins_ended"
"""Postgres channel that is told the id of each login that ends."""

Method = Literal["password", "magic_link"]
EndReason = Literal[
    "logged_out",
    "ended",
    "password_changed",
    "password_reset",
    "account_closed",
    "refresh_token_reused",
]

_USER_AGENT_CHARACTERS = 400


class Begun(NamedTuple):
    """A login, and the refresh token that exists here and nowhere else."""

    login: str
    refresh_token: str


class Refreshed(NamedTuple):
    """Whose login goes on, and by which token."""

    person: Person
    login: str
    refresh_token: str
    password_is_temporary: bool


class Reused(NamedTuple):
    """A used token was shown. `ended` tells whether the login lasted until now."""

    person: Person
    login: str
    ended: bool


class Login(msgspec.Struct, frozen=True):
    """A login. `last_used_at` and `address` are those of the last refresh; `current`: the one that asks."""

    id: str
    person: int
    method: str
    created_at: datetime
    last_used_at: datetime
    address: str | None
    user_agent: str | None
    expires_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    current: bool


def select_logins(person: int, *, current: str | None, lasting: bool) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of Login, of a person's logins that last, or of the others. `current`: the id of
    the one that asks.
    """
    c = logins.c
    columns = [c[name] for name in Login.__struct_fields__ if name != "current"]
    lasts = c.ended_at.is_(None) & (c.expires_at > func.now())
    is_current = literal(False) if current is None else c.id == current
    return select(*columns, is_current).where(c.person == person, lasts if lasting else ~lasts)


def select_owner(login: str) -> Select[int]:
    """Statement: whose login it is."""
    return select(logins.c.person).where(logins.c.id == login)


def insert_login(
    login: str,
    person: int,
    *,
    method: Method,
    expires_at: datetime,
    address: str | None,
    user_agent: str | None,
) -> Insert:
    """Statement: a login begins."""
    return insert(logins).values(
        id=login,
        person=person,
        method=method,
        expires_at=expires_at,
        address=address,
        user_agent=_shown(user_agent),
    )


def insert_refresh_token(token: str, login: str, *, expires_at: datetime) -> Insert:
    """Statement: a token of a login."""
    return insert(refresh_tokens).values(sha256=digest(token), login=login, expires_at=expires_at)


def forget_expired(person: int) -> Delete:
    """Statement: tokens of a person that have expired say nothing any more."""
    theirs = select(logins.c.id).where(logins.c.person == person)
    t = refresh_tokens.c
    return delete(refresh_tokens).where(t.login.in_(theirs), t.expires_at <= func.now())


def prune_refresh_tokens(limit: int) -> Delete:
    """Statement: tokens of anybody that have expired; those that somebody is using are left to them."""
    t = refresh_tokens.c
    old = select(t.sha256).where(t.expires_at <= func.now()).limit(limit).with_for_update(skip_locked=True)
    return delete(refresh_tokens).where(t.sha256.in_(old))


def prune_logins(*, over_before: datetime, limit: int) -> Delete:
    """Statement: logins that were over before then, and have no token any more."""
    c = logins.c
    has_token = select(refresh_tokens.c.login).where(refresh_tokens.c.login == c.id).exists()
    over = func.least(c.expires_at, func.coalesce(c.ended_at, c.expires_at)) < over_before
    old = select(c.id).where(over, ~has_token).limit(limit).with_for_update(skip_locked=True)
    return delete(logins).where(c.id.in_(old))


def use_refresh_token(token: str) -> ReturningUpdate[str]:
    """Statement: use a token that may be used → its login; no row otherwise."""
    t = refresh_tokens.c
    lasting = (
        select(logins.c.id)
        .join(users, users.c.id == logins.c.person)
        .where(logins.c.id == t.login, logins.c.ended_at.is_(None), users.c.active)
    )
    return (
        update(refresh_tokens)
        .where(t.sha256 == digest(token), t.used_at.is_(None), t.expires_at > func.now(), lasting.exists())
        .values(used_at=func.now())
        .returning(t.login)
    )


def use_login(login: str, *, expires_at: datetime, address: str | None) -> Update:
    """Statement: a login that refreshes nothing, a page's, was used: it lasts anew, unless it has ended."""
    c = logins.c
    return (
        update(logins)
        .where(c.id == login, c.ended_at.is_(None), c.expires_at > func.now())
        .values(last_used_at=func.now(), expires_at=expires_at, address=address)
    )


def select_used_token(token: str) -> Select[str, int, str, Role | None]:
    """Statement: (login, person, email, role) of a token that was used."""
    return (
        select(logins.c.id, users.c.id, users.c.email, users.c.role)
        .select_from(refresh_tokens)
        .join(logins, logins.c.id == refresh_tokens.c.login)
        .join(users, users.c.id == logins.c.person)
        .where(refresh_tokens.c.sha256 == digest(token), refresh_tokens.c.used_at.is_not(None))
    )


def end_logins(reason: EndReason, *which: ColumnElement[bool]) -> ReturningUpdate[str]:
    """Statement: end those that have not ended → their ids. Tell of them: `tell_ended`."""
    return (
        update(logins)
        .where(logins.c.ended_at.is_(None), *which)
        .values(ended_at=func.now(), end_reason=reason)
        .returning(logins.c.id)
    )


def tell_ended(ended: list[str]) -> Executable:
    """Statement: tell every process, at the commit. At least one."""
    return select(func.pg_notify(ENDED_CHANNEL, func.unnest(array(ended))))


async def end(connection: AsyncConnection, reason: EndReason, *which: ColumnElement[bool]) -> list[str]:
    """End logins in the caller's transaction, and tell of it when it commits → their ids."""
    ended = list((await connection.execute(end_logins(reason, *which))).scalars())
    if ended:
        await connection.execute(tell_ended(ended))
    return ended


async def begin(
    connection: AsyncConnection,
    login: str,
    person: int,
    *,
    method: Method,
    now: datetime,
    lifetime: timedelta,
    address: str | None,
    user_agent: str | None,
) -> Begun:
    """Begin a login, in the caller's transaction. `lifetime` is that of a refresh token."""
    token, expires_at = new_token(), now + lifetime
    await connection.execute(forget_expired(person))
    await connection.execute(
        insert_login(
            login, person, method=method, expires_at=expires_at, address=address, user_agent=user_agent
        )
    )
    await connection.execute(insert_refresh_token(token, login, expires_at=expires_at))
    return Begun(login, token)


async def refresh(
    connection: AsyncConnection,
    token: str,
    *,
    now: datetime,
    lifetime: timedelta,
    address: str | None,
) -> Refreshed | Reused | None:
    """Go on with the next token, in the caller's transaction, which has to be committed whatever comes of it:
    a used token ends its login. None: the token opens nothing.
    """
    login = (await connection.execute(use_refresh_token(token))).scalar_one_or_none()
    if login is None:
        used = (await connection.execute(select_used_token(token))).one_or_none()
        if used is None:
            return None
        login, person, email, role = used
        ended = await end(connection, "refresh_token_reused", logins.c.id == login)
        return Reused(Person(person, email, role), login, ended=bool(ended))
    following, expires_at = new_token(), now + lifetime
    await connection.execute(insert_refresh_token(following, login, expires_at=expires_at))
    person_id = (
        await connection.execute(
            update(logins)
            .where(logins.c.id == login)
            .values(last_used_at=func.now(), expires_at=expires_at, address=address)
            .returning(logins.c.person)
        )
    ).scalar_one()
    u = users.c
    account = (
        await connection.execute(
            select(u.id, u.email, u.role, u.password_is_temporary).where(u.id == person_id)
        )
    ).one()
    identified = Person(account.id, account.email, account.role)
    return Refreshed(identified, login, following, account.password_is_temporary)


def _shown(user_agent: str | None) -> str | None:
    if user_agent is None:
        return None
    # A header's raw bytes come as lone surrogates, which Postgres does not take.
    text = user_agent.encode(errors="replace").decode().replace("\0", "")
    return text[:_USER_AGENT_CHARACTERS]

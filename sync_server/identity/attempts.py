"""Guessing has to be slow, for whoever guesses, in however many processes, and must keep no owner out.

Failures are counted in Postgres, by account and by address, and after some of them in a row each one blocks
the next attempts for twice as long as the one before. An attempt is counted *before* the password is looked
at and taken back when it was right: a hundred guesses at once are then a hundred counted ones.

| | account | address |
|---|---|---|
| blocks from failure | 5 | 30 |
| for | 5 s, 10 s, 20 s, … 15 min at most | the same |
| begins anew | after a success, or a day without a failure | after an hour without a failure |

Blocked attempts are refused unseen, and are not counted: a block is never prolonged. An account that does not
exist is blocked like one that does.

A stranger who goes on guessing could block an account all day. Therefore an address from which its owner has
logged in within 30 days has a count of its own; and a link by mail logs in whatever is blocked: the codes
that it may take besides are counted apart, where only who has such a link can fail.

Mails are counted here too: one a minute of a kind for an account.
"""

import hashlib
import math
from datetime import timedelta
from typing import Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Delete,
    Integer,
    Select,
    Update,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import attempts, logins, users

Kind = Literal["account", "address"]


class _Rule(NamedTuple):
    blocks_from: int
    forgotten_after: timedelta


_RULES: dict[Kind, _Rule] = {
    "account": _Rule(5, timedelta(days=1)),
    "address": _Rule(30, timedelta(hours=1)),
}
FIRST_BLOCK = timedelta(seconds=5)
LONGEST_BLOCK = timedelta(minutes=15)
_KNOWN_ADDRESS = timedelta(days=30)
_MAIL_PAUSE = timedelta(minutes=1)
_KEPT = timedelta(days=1)


class Attempt(NamedTuple):
    """An attempt that counts as a failure until it is taken back; `failures`: of the account, with it."""

    account: bytes
    address: bytes
    failures: int


class Blocked(Exception):
    """Too many failed attempts; `seconds` until the next one is looked at."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(self.__doc__)


def count_attempt(kind: Kind, subject: bytes) -> ReturningInsert[int]:
    """Statement: count an attempt as a failure → failures in a row; no row while the subject is blocked."""
    a, rule = attempts.c, _RULES[kind]
    forgotten = a.last_at < func.now() - rule.forgotten_after
    failures: ColumnElement[int] = case((forgotten, 1), else_=a.failures + 1)
    doublings = cast(func.least(failures - rule.blocks_from, 10), Integer)
    block = func.least(FIRST_BLOCK * func.power(2, doublings), LONGEST_BLOCK)
    return (
        insert(attempts)
        .values(kind=kind, subject=subject, failures=1)
        .on_conflict_do_update(
            index_elements=["kind", "subject"],
            set_={
                "failures": failures,
                "last_at": func.now(),
                "blocked_until": case((failures >= rule.blocks_from, func.now() + block)),
            },
            where=or_(a.blocked_until.is_(None), a.blocked_until <= func.now()),
        )
        .returning(a.failures)
    )


def select_blocked(subject: bytes) -> Select[float]:
    """Statement: for how many seconds a subject is blocked."""
    seconds = func.extract("epoch", attempts.c.blocked_until - func.now())
    return select(seconds).where(attempts.c.subject == subject)


def uncount(kind: Kind, subject: bytes) -> Update:
    """Statement: the attempt was no failure; what was counted before it stays."""
    a = attempts.c
    return (
        update(attempts)
        .where(a.kind == kind, a.subject == subject)
        .values(failures=func.greatest(a.failures - 1, 0), blocked_until=None)
    )


def forget_account(attempt: Attempt) -> Delete:
    """Statement: a success; the account's count begins anew."""
    return delete(attempts).where(attempts.c.kind == "account", attempts.c.subject == attempt.account)


def forget_old(limit: int = 1000) -> Delete:
    """Statement: what counts for nothing any more, as far as nobody is at it."""
    a = attempts.c
    old = (
        select(a.kind, a.subject)
        .where(a.last_at < func.now() - _KEPT)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return delete(attempts).where(tuple_(a.kind, a.subject).in_(old))


def count_mail(what: str, email: str) -> ReturningInsert[int]:
    """Statement: a mail of this kind is asked for → a row when it may be sent."""
    a = attempts.c
    return (
        insert(attempts)
        .values(kind="mail", subject=_digest(what, email), failures=1)
        .on_conflict_do_update(
            index_elements=["kind", "subject"],
            set_={"last_at": func.now()},
            where=a.last_at < func.now() - _MAIL_PAUSE,
        )
        .returning(a.failures)
    )


async def begin_attempt(
    engine: AsyncEngine, *, email: str, address: str | None, by_link: bool = False
) -> Attempt:
    """Count an attempt at an account from an address, in a transaction of its own; `by_link`: by somebody
    who has shown a link that was mailed. Raises Blocked.
    """
    async with engine.begin() as connection:
        return await begin_attempt_in(connection, email=email, address=address, by_link=by_link)


async def begin_attempt_in(
    connection: AsyncConnection, *, email: str, address: str | None, by_link: bool = False
) -> Attempt:
    """As `begin_attempt`, in a transaction that is committed whatever comes of the attempt."""
    from_address = _digest("address", address or "")
    # Addresses first: both are rows that others may hold, and everybody takes them in this order.
    await _count(connection, "address", from_address)
    if by_link:
        of_account = _digest("account by link", email)
    elif await connection.scalar(_logged_in_from(email, address)):
        of_account = _digest("account", email, address or "")
    else:
        of_account = _digest("account", email)
    failures = await _count(connection, "account", of_account)
    if failures == 1:
        await connection.execute(forget_old())
    return Attempt(of_account, from_address, failures)


async def take_back(connection: AsyncConnection, attempt: Attempt) -> None:
    """The attempt was no failure, and no success either: what was counted before it stays."""
    await connection.execute(uncount("address", attempt.address))
    await connection.execute(uncount("account", attempt.account))


async def succeed(connection: AsyncConnection, attempt: Attempt) -> None:
    """The account's count begins anew; the address only loses this attempt: one right password does not
    make up for thirty wrong ones.
    """
    await connection.execute(uncount("address", attempt.address))
    await connection.execute(forget_account(attempt))


async def _count(connection: AsyncConnection, kind: Kind, subject: bytes) -> int:
    failures = (await connection.execute(count_attempt(kind, subject))).scalar_one_or_none()
    if failures is None:
        seconds = await connection.scalar(select_blocked(subject))
        raise Blocked(max(1, math.ceil(seconds or 1)))
    return failures


def _logged_in_from(email: str, address: str | None) -> Select[int]:
    return (
        select(users.c.id)
        .join(logins, logins.c.person == users.c.id)
        .where(
            users.c.email == email,
            logins.c.address == address,
            logins.c.created_at > func.now() - _KNOWN_ADDRESS,
        )
        .limit(1)
    )


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()

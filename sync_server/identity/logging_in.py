"""Logging in: with a password or by a link, and a code where the account has a second factor.

| what is shown | failure |
|---|---|
| anything, after too many failures | `attempts.Blocked`, before it is looked at |
| wrong password, unknown address, closed account | WrongPassword, the same after the same time |
| the right password, no code, where one is needed | CodeRequired; counts as nothing |
| the right password, a wrong or used code | CodeRequired (`wrong`); counts as a failure |
| the code after the password, which was changed meanwhile | WrongPassword |
| a link that was used, has expired, was never sent | UnusableLink |
| the password is changed while it is looked at | WrongPassword |

A failed attempt is on record (`login.failed`) where there is such an account: the first one in a row, the
second, the fourth, the eighth, …, so that guessing is seen and does not fill the log.
"""

import hashlib
import hmac
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from reporting.audit import record_entry
from reporting.tables import users
from sync_server.identity.access_tokens import Person, Role
from sync_server.identity.attempts import Attempt, begin_attempt, succeed, take_back
from sync_server.identity.logins import Method, begin
from sync_server.identity.mail_links import lock_link, select_link, spend_links, use_link
from sync_server.identity.second_factors import has_second_factor, passes
from sync_server.identity.users import check_password, select_login, select_password_hash
from sync_server.identity.visitors import Visitor, visited
from sync_server.sealing import Sealer


class WrongPassword(Exception):
    """Wrong email address or password."""


class Halfway(msgspec.Struct, frozen=True):
    """Somebody has shown the password of this account, which had this digest of its hash, and is asked for a
    code. For who asks in two steps; it says nothing that may be shown, and is to be sealed.
    """

    email: str
    person: int
    password: str


class CodeRequired(Exception):
    """This account needs a code of its authenticator app, as `otp`."""

    def __init__(self, *, wrong: bool, halfway: "Halfway | None" = None) -> None:
        self.wrong = wrong
        self.halfway = halfway
        super().__init__("That code is wrong, or was used." if wrong else self.__doc__)


class UnusableLink(Exception):
    """This link was used, or has expired: ask for another one."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class LoggedIn(NamedTuple):
    """Who, by which login, and what it goes on with."""

    person: Person
    login: str
    refresh_token: str
    password_is_temporary: bool


class Entrance:
    """Where people log in; `lifetime` is that of a refresh token, `sealer` is asked where one is needed."""

    def __init__(
        self, engine: AsyncEngine, sealer: Callable[[], Sealer], *, now: datetime, lifetime: timedelta
    ) -> None:
        self._engine = engine
        self._sealer = sealer
        self._now = now
        self._lifetime = lifetime

    async def by_password(self, email: str, password: str, otp: str, visitor: Visitor) -> LoggedIn:
        """Log in. Raises Blocked, WrongPassword, CodeRequired."""
        address = email.strip().lower()
        attempt = await begin_attempt(self._engine, email=address, address=visitor.address)
        account = await check_password(self._engine, email=address, password=password)
        if account is None:
            await self._record_failure(address, attempt, visitor)
            raise WrongPassword
        async with self._engine.begin() as connection:
            found = (
                await connection.execute(select_open(account.person.id, account.password_hash))
            ).one_or_none()
            outcome = None
            if found is not None:
                outcome = await self._admit(
                    connection, found, otp=otp, attempt=attempt, visitor=visitor, method="password"
                )
        if found is None:
            raise WrongPassword
        halfway = Halfway(address, account.person.id, _digest(account.password_hash))
        return await self._judged(outcome, address, attempt, visitor, otp=otp, halfway=halfway)

    async def by_code(self, halfway: Halfway, otp: str, visitor: Visitor) -> LoggedIn:
        """Log in with the code that `by_password` has asked for. Raises as it does."""
        attempt = await begin_attempt(self._engine, email=halfway.email, address=visitor.address)
        async with self._engine.begin() as connection:
            account = (await connection.execute(select_open(halfway.person))).one_or_none()
            password = await connection.scalar(select_password_hash(halfway.person))
            is_same = password is not None and hmac.compare_digest(_digest(password), halfway.password)
            outcome = None
            if account is not None and is_same:
                outcome = await self._admit(
                    connection, account, otp=otp, attempt=attempt, visitor=visitor, method="password"
                )
        if account is None or not is_same:
            raise WrongPassword
        return await self._judged(outcome, halfway.email, attempt, visitor, otp=otp, halfway=halfway)

    async def by_link(self, token: str, otp: str, visitor: Visitor) -> LoggedIn:
        """Log in with a magic link, which is used only by a login. Raises Blocked, UnusableLink,
        CodeRequired.
        """
        async with self._engine.connect() as connection:
            linked = (await connection.execute(select_link(token, ["magic_link"]))).one_or_none()
            needs_code = linked is not None and await _has_second_factor(connection, linked.person)
        if linked is None:
            raise UnusableLink
        attempt = None
        if needs_code:
            attempt = await begin_attempt(
                self._engine, email=linked.email, address=visitor.address, by_link=True
            )
        async with self._engine.begin() as connection:
            account = (await connection.execute(select_open(linked.person))).one_or_none()
            # Locked from here on: of two that show the link at once, one finds it used.
            used = (await connection.execute(lock_link(token, ["magic_link"]))).first()
            outcome = None
            if account is not None and used is not None:
                outcome = await self._admit(
                    connection, account, otp=otp, attempt=attempt, visitor=visitor, method="magic_link"
                )
            if outcome is not None:
                await connection.execute(use_link(token, ["magic_link"]))
                await connection.execute(spend_links(linked.person, ["magic_link"]))
        if used is None or account is None:
            raise UnusableLink
        return await self._judged(outcome, linked.email, attempt, visitor, otp=otp)

    async def _admit(
        self,
        connection: AsyncConnection,
        account: Row[int, str, Role | None, bool],
        *,
        otp: str,
        attempt: Attempt | None,
        visitor: Visitor,
        method: Method,
    ) -> LoggedIn | None:
        """Ask for the second factor and begin a login; None where the code is missing or wrong."""
        person = Person(account.id, account.email, account.role)
        if await _has_second_factor(connection, person.id):
            if not otp:
                if attempt is not None:
                    await take_back(connection, attempt)
                return None
            if not await passes(connection, self._sealer(), person=person.id, code=otp, now=self._now):
                return None
        if attempt is not None:
            await succeed(connection, attempt)
        begun = await begin(
            connection,
            uuid.uuid4().hex,
            person.id,
            method=method,
            now=self._now,
            lifetime=self._lifetime,
            address=visitor.address,
            user_agent=visitor.user_agent,
        )
        about = {"login": begun.login, "method": method}
        await connection.execute(record_entry(visited(visitor, "login.begin", person, after=about)))
        return LoggedIn(person, begun.login, begun.refresh_token, account.password_is_temporary)

    async def _judged(
        self,
        outcome: LoggedIn | None,
        email: str,
        attempt: Attempt | None,
        visitor: Visitor,
        *,
        otp: str,
        halfway: Halfway | None = None,
    ) -> LoggedIn:
        if outcome is None:
            if otp and attempt is not None:
                await self._record_failure(email, attempt, visitor)
            raise CodeRequired(wrong=bool(otp), halfway=halfway)
        return outcome

    async def _record_failure(self, email: str, attempt: Attempt, visitor: Visitor) -> None:
        if not is_recorded(attempt.failures):
            return
        async with self._engine.begin() as connection:
            await record_failure(connection, email, attempt, visitor)


async def record_failure(connection: AsyncConnection, email: str, attempt: Attempt, visitor: Visitor) -> None:
    """Put a failed attempt on record, where there is such an account and it is one to be recorded."""
    if not is_recorded(attempt.failures):
        return
    account = (await connection.execute(select_login(email))).one_or_none()
    if account is not None:
        person = Person(account.id, account.email, account.role)
        failed = visited(visitor, "login.failed", person, known=False, after={"failures": attempt.failures})
        await connection.execute(record_entry(failed))


def is_recorded(failures: int) -> bool:
    """Whether the failure with this number in a row is put on record: 1, 2, 4, 8, …"""
    return failures & (failures - 1) == 0


def select_open(person: int, password_hash: str | None = None) -> Select[int, str, Role | None, bool]:
    """Statement: (id, email, role, password_is_temporary) of an active account, which stays as it is until
    the caller's transaction ends; with a hash: while it has that password.
    """
    u = users.c
    statement = select(u.id, u.email, u.role, u.password_is_temporary).where(u.id == person, u.active)
    if password_hash is not None:
        statement = statement.where(u.password_hash == password_hash)
    return statement.with_for_update(read=True)


async def _has_second_factor(connection: AsyncConnection, person: int) -> bool:
    return (await connection.execute(has_second_factor(person))).first() is not None


def _digest(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()

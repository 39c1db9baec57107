"""Which logins have ended: told to every process at once, remembered while their access tokens live.

The truth is in Postgres and is read with the account at every request (`callers.read_caller`), so an ended
login opens nothing from its commit on, in every process. What is here is for what Postgres is not asked:

- a token of a login that is known to have ended is refused without a connection, also while Postgres is away;
- what lasts longer than a request (a stream of events) waits for the end of the login that opened it: `wait`.

`SESSION_STORAGE_BACKEND` says where what is known is kept. `memory`: in this process, which therefore has to
be the only one; it holds a lock in Postgres, and a second process says so and does not start. `redis`: in
Redis, for all of them, each entry as long as an access token can live.

| situation | what holds |
|---|---|
| a notification is lost, the connection breaks | those waited for are looked up every second |
| Postgres away | what is known stays known; waiting goes on |
| Redis away, or wiped | Postgres decides at every request |
| Postgres away at the start, then another process with `memory` | told in the log; Postgres decides |
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self

import psycopg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.tables import logins
from sync_server.following import AWAY, listen, notifications, report_defect, said
from sync_server.identity.logins import ENDED_CHANNEL

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('one process with SESSION_STORAGE_BACKEND=memory', 0))"
_TAKEOVER_SECONDS = 3.0
"""What a process that was killed may take until Postgres has noticed."""
_REDIS_PATIENCE_SECONDS = 0.25
_REDIS_PAUSE_SECONDS = 5.0

_log = structlog.get_logger()


class AnotherProcess(Exception):
    """Another process serves this database. With SESSION_STORAGE_BACKEND=memory there may be one only: stop
    it, or set SESSION_STORAGE_BACKEND=redis for all of them.
    """

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class Storage(Protocol):
    """Where the ids of ended logins are kept."""

    async def add(self, login: str) -> None:
        """Remember it."""

    async def has(self, login: str) -> bool:
        """Whether it is known to have ended."""


class MemoryStorage:
    """In this process; `seconds` is how long an access token can live."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[str, float] = {}

    async def add(self, login: str) -> None:
        """Remember it, and forget what no token can name any more."""
        now = self._clock()
        self._until = {known: until for known, until in self._until.items() if until > now}
        self._until[login] = now + self._seconds

    async def has(self, login: str) -> bool:
        """Whether it is known to have ended."""
        return login in self._until


class RedisStorage:
    """In Redis, for all processes; `seconds` is how long an access token can live. Where Redis does not
    answer at once it is left alone for a while: no request waits for what Postgres tells anyway.
    """

    def __init__(self, redis: Redis, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._seconds = int(seconds) + 1
        self._clock = clock
        self._away_until = 0.0

    async def add(self, login: str) -> None:
        """Remember it; without Redis, Postgres alone does."""
        await self._ask(self._redis.set(_redis_key(login), 1, ex=self._seconds))

    async def has(self, login: str) -> bool:
        """Whether it is known to have ended; False without Redis: Postgres decides."""
        if self._clock() < self._away_until:
            return False
        return bool(await self._ask(self._redis.exists(_redis_key(login))))

    async def _ask(self, question: Awaitable[object]) -> object:
        try:
            async with asyncio.timeout(_REDIS_PATIENCE_SECONDS):
                return await question
        except (RedisError, OSError):
            self._away_until = self._clock() + _REDIS_PAUSE_SECONDS
            return None


class EndedLogins:
    """Follows Postgres from `async with` to its end. `alone`: no other process may, on this database.

    Entering raises AnotherProcess.
    """

    def __init__(
        self, engine: AsyncEngine, storage: Storage, *, alone: bool = False, interval: float = 1.0
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._alone = alone
        self._interval = interval
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._listener: psycopg.AsyncConnection | None = None

    async def __aenter__(self) -> Self:
        try:
            self._listener = await listen(self._engine, ENDED_CHANNEL)
            if not await self._lock(self._listener, patience=_TAKEOVER_SECONDS):
                await self._listener.close()
                raise AnotherProcess
        except AWAY as error:
            _log.warning("ends of logins cannot be followed yet", error=said(error))
        self._task = asyncio.create_task(self._follow(), name="ended logins")
        report_defect(self._task, what="ended logins")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._listener is not None:
            await self._listener.close()

    async def known(self, login: str) -> bool:
        """Whether the login is known to have ended. False says nothing: ask Postgres."""
        return await self._storage.has(login)

    async def wait(self, login: str) -> None:
        """Returns within a second after the login has ended, or expired."""
        event = asyncio.Event()
        self._waiting.setdefault(login, set()).add(event)
        try:
            await event.wait()
        finally:
            others = self._waiting.get(login, set())
            others.discard(event)
            if not others:
                self._waiting.pop(login, None)

    async def _follow(self) -> None:
        """Listen, look, listen again, for ever; whatever Postgres does only delays it."""
        away = False
        while True:
            try:
                if self._listener is None:
                    self._listener = await listen(self._engine, ENDED_CHANNEL)
                    if not await self._lock(self._listener, patience=0):
                        _log.error("another process serves this database", error=str(AnotherProcess()))
                while True:
                    await self._look()
                    away = False
                    async for login in notifications(self._listener, within=self._interval):
                        await self._ended(login)
            except AWAY as error:
                if not away:
                    _log.warning("ends of logins cannot be followed", error=said(error))
                away = True
                listener, self._listener = self._listener, None
                if listener is not None:
                    await listener.close()
                await asyncio.sleep(self._interval)

    async def _look(self) -> None:
        """Look up those that are waited for: a notification may have been lost."""
        asked = list(self._waiting)
        if not asked:
            return
        lasting = select(logins.c.id).where(
            logins.c.id.in_(asked),
            logins.c.ended_at.is_(None),
            logins.c.expires_at > func.now(),
        )
        async with self._engine.connect() as connection:
            found = set((await connection.execute(lasting)).scalars())
        for login in set(asked) - found:
            await self._ended(login)

    async def _ended(self, login: str) -> None:
        await self._storage.add(login)
        for event in self._waiting.get(login, ()):
            event.set()

    async def _lock(self, listener: psycopg.AsyncConnection, *, patience: float) -> bool:
        """Whether this process may go on; its lock lasts as long as the connection."""
        if not self._alone:
            return True
        deadline = time.monotonic() + patience
        while True:
            row = await (await listener.execute(_LOCK)).fetchone()
            if row is not None and row[0]:
                return True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.2)


def _redis_key(login: str) -> str:
    return f"metricis:ended-login:{login}"

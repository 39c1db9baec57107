"""Something of Postgres that is held in memory: read anew every second, and at once when a channel notifies.

What every request asks must cost no query, and must not be old. A notification alone is not enough: one is
lost when a connection breaks.

| what happens | outcome |
|---|---|
| a notification, or none for `interval` | read anew |
| Postgres away | told once; what was read last stays, and is read again as soon as it can be |
| a defect in reading | told as critical: what is held would stay in force without a word |
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

import psycopg
import sqlalchemy.exc
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

AWAY: Final = (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, psycopg.Error, OSError)
"""What asking Postgres raises while it is away; OSError: TimeoutError too."""

_log = structlog.get_logger()


class Follower:
    """Calls `read` from `async with` to its end. `what` it reads, for the log; `interval` in seconds."""

    def __init__(
        self,
        engine: AsyncEngine,
        channel: str,
        read: Callable[[], Awaitable[object]],
        *,
        what: str,
        interval: float,
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._read = read
        self._what = what
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name=self._what)
        report_defect(self._task, what=self._what)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _follow(self) -> None:
        away = False
        while True:
            try:
                async with await listen(self._engine, self._channel) as listener:
                    while True:
                        await self._read()
                        if away:
                            _log.info("read again", what=self._what)
                            away = False
                        async for _ in notifications(listener, within=self._interval):
                            pass
            except AWAY as error:
                if not away:
                    _log.warning(
                        "cannot be read, what was read last stays in force",
                        what=self._what,
                        error=said(error),
                    )
                away = True
                await asyncio.sleep(self._interval)


async def listen(engine: AsyncEngine, channel: str) -> psycopg.AsyncConnection:
    """A connection that hears the channel. Raises psycopg.Error, OSError."""
    # One of its own: the pool resets and hands around its connections, a listener must stay.
    dsn = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    listener = await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=10)
    try:
        await listener.execute(f"LISTEN {channel}".encode())
    except BaseException:  # cancelled too: nobody else has it yet
        await listener.close()
        raise
    return listener


async def notifications(listener: psycopg.AsyncConnection, *, within: float) -> AsyncIterator[str]:
    """The payloads of the next notifications; none where there is none for `within` seconds."""
    async with aclosing(listener.notifies(timeout=within, stop_after=1)) as heard:
        async for notification in heard:
            yield notification.payload


def said(error: Exception) -> str:
    """The driver's own words: SQLAlchemy's quote the parameters, ids and contents of documents among them."""
    return str(getattr(error, "orig", None) or "") or type(error).__name__


def report_defect(task: asyncio.Task[None], *, what: str) -> None:
    """Tell when a task that never ends has ended by a defect."""

    def tell(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            _log.critical("is no longer read", what=what, exc_info=error)

    task.add_done_callback(tell)

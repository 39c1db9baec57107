"""A few Postgres connections for code that blocks, each used by one turn at a time.

The driver's COPY runs in a thread. When the turn is cancelled (the service stops), the thread cannot be: the
connection is only given back once the thread is done with it, so a batch in flight commits or rolls back as a
whole. While Postgres is away, whoever asks for a connection waits until it is back; that is no failure of the
site that asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Concatenate, Final, ParamSpec, TypeVar

import psycopg
import structlog

from reporting.engine import ConnectionKind, connect
from reporting.projection.turns import retry_after

P = ParamSpec("P")
T = TypeVar("T")

_OPENERS: Final = ThreadPoolExecutor(8, thread_name_prefix="opening-postgres")

log = structlog.get_logger()


class Lease:
    """The use of one connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    async def run(
        self, blocking: Callable[Concatenate[psycopg.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `blocking` with the connection, in a thread. It is over when this returns, also cancelled."""
        call = asyncio.ensure_future(asyncio.to_thread(blocking, self._connection, *args, **kwargs))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            while not call.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([call])
            if not call.cancelled():
                call.exception()  # asked for, so that nobody complains that it was not
            raise


class Connections:
    """At most `size` connections; opened when needed, replaced when lost."""

    def __init__(self, database_url: str, size: int) -> None:
        self._database_url = database_url
        self._idle: list[psycopg.Connection] = []
        self._free = asyncio.Semaphore(size)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """A connection to use; waits for one to be free, and for Postgres to be there."""
        async with self._free:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield Lease(connection)
            finally:
                if not connection.closed:
                    self._idle.append(connection)

    async def close(self) -> None:
        """Close the connections; nobody may hold a lease any more."""
        while self._idle:
            await Lease(self._idle.pop()).run(psycopg.Connection.close)

    async def _connect(self) -> psycopg.Connection:
        failures = 0
        while True:
            try:
                return await open_connection(self._database_url, kind="batch")
            except psycopg.OperationalError as failure:
                failures += 1
                delay = retry_after(failures)
                log.warning("postgres is away", error=str(failure), failures=failures, next_try_in_s=delay)
                await asyncio.sleep(delay)


async def open_connection(
    database_url: str, *, kind: ConnectionKind = "plain", application_name: str = "metricis-projector"
) -> psycopg.Connection:
    """A connection, opened in a thread. Raises OperationalError. See `reporting.engine.connect`.

    Nobody may be there any more when the thread is done: the caller is cancelled, then the loop ends. So the
    thread closes what is not wanted; with a future of the loop's it would be dropped open.
    """
    opening = _OPENERS.submit(connect, database_url, kind=kind, application_name=application_name)
    try:
        return await asyncio.shield(asyncio.wrap_future(opening))
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise


def _close_unused(opening: Future[psycopg.Connection]) -> None:
    if opening.exception() is None:
        opening.result().close()

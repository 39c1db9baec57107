"""A migrated database, a feed of two sites in memory, and a way to look at every row."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
import pytest
import structlog

from reporting.engine import connect
from reporting.projection.pump import Pump
from reporting.tables import metadata
from tests.projection.memory_feed import MemoryFeed

Tables: TypeAlias = dict[str, list[tuple[Any, ...]]]
Project: TypeAlias = Callable[[], Awaitable[None]]

RESULTS = (
    "sessions",
    "task_runs",
    "trial_rows",
    "trial_extras",
    "scores",
    "quality_flags",
    "quarantine",
    "conflicts",
    "corrections",
    "losing_revisions",
    "consents",
    "documents",
)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """The application's role, as the projector has it."""
    with connect(database_url) as connection:
        yield connection


@pytest.fixture
def feed() -> MemoryFeed:
    """Two empty site databases."""
    return MemoryFeed("lima", "nairobi")


@pytest.fixture
def project(feed: MemoryFeed, database_url: str) -> Project:
    """Project all there is, as a projector that has just been started does."""

    async def drain() -> None:
        await Pump(feed, database_url).drain()

    return drain


class LogEntries(list[dict[str, Any]]):
    """What the projector has logged, and a way to wait for more of it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def __call__(
        self, _logger: Any, level: str, entry: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        self.append({**entry, "level": level})
        self._more.set()
        raise structlog.DropEvent

    def having(self, **members: Any) -> list[dict[str, Any]]:
        """The entries with all these members."""
        return [entry for entry in self if members.items() <= entry.items()]

    async def wait_for(self, times: int = 1, **members: Any) -> None:
        """Until there are so many entries with these members."""
        async with asyncio.timeout(60):
            while len(self.having(**members)) < times:
                self._more.clear()
                await self._more.wait()


@pytest.fixture(autouse=True)
def logged() -> Iterator[LogEntries]:
    """Takes the log lines instead of printing them."""
    entries = LogEntries()
    before = structlog.get_config()
    structlog.configure(processors=[entries], cache_logger_on_first_use=False)
    yield entries
    structlog.configure(**before)


@asynccontextmanager
async def running(pump: Pump) -> AsyncIterator[None]:
    """The projector runs meanwhile; it is stopped as a signal would stop it."""
    stop = asyncio.Event()
    task = asyncio.create_task(pump.run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again, at what is in Postgres or nowhere tells of its change."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.02)


def rows(connection: psycopg.Connection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query.encode(), parameters).fetchall()


def everything(connection: psycopg.Connection) -> Tables:
    """Every row of every results table and the checkpoints, in an order of their own."""
    return {
        name: sorted(rows(connection, f"SELECT t::text FROM {name} AS t"))  # noqa: S608 (our own tables)
        for name in (*RESULTS, "device_status", "checkpoints")
    }


def states(connection: psycopg.Connection, site: str = "lima") -> dict[str, str]:
    """Each document's state."""
    return dict(rows(connection, "SELECT doc_id, state FROM documents WHERE site = %(site)s", site=site))


def session_ids(connection: psycopg.Connection, site: str = "lima") -> set[str]:
    """Which sessions have a row."""
    return {row[0] for row in rows(connection, "SELECT id FROM sessions WHERE site = %(site)s", site=site)}


def count(connection: psycopg.Connection, table: str) -> int:
    """How many rows a table has."""
    assert table in {*metadata.tables, "trials"}
    return int(rows(connection, f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 (our own tables)

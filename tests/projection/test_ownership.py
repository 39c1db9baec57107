"""Whose a site is: projectors share sites out, lose them, and take them over."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import psycopg
import pytest

from replication.client import CouchClient
from reporting.engine import connect
from reporting.errors import FeedRefused
from reporting.projection import site_statements as statements
from reporting.projection.feed import SiteDatabase
from reporting.projection.pump import Pump
from reporting.projection.sharing import lock_key
from tests.documents.examples import a_session, encode
from tests.projection.conftest import LogEntries, count, everything, rows, running, session_ids, until
from tests.projection.memory_feed import MemoryFeed
from tests.replication.served import free_port, served

SITES = [f"s{number}" for number in range(10)]


@pytest.fixture
def ten() -> MemoryFeed:
    """Ten sites with a session each."""
    feed = MemoryFeed(*SITES)
    for site in SITES:
        feed[site].save(a_session("first", site=site), "1-a")
    return feed


def a_pump(feed: MemoryFeed, database_url: str) -> Pump:
    return Pump(feed, database_url, poll_seconds=0.05, look_seconds=0.05)


def shares(connection: psycopg.Connection) -> list[int]:
    """How many sites each projector holds, the most first."""
    found = rows(
        connection,
        "SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND classid = %(sites)s::bigint::oid AND granted"
        "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " GROUP BY pid ORDER BY 1 DESC",
        sites=statements.SITES,
    )
    return [share for (share,) in found]


def end_lock_connections(connection: psycopg.Connection) -> None:
    """As Postgres does when their other side does not answer any more."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND classid = %(members)s::bigint::oid"
        "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        {"members": statements.MEMBERS},
    )


async def test_projectors_that_come_and_go_share_the_sites_out(
    ten: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async with running(a_pump(ten, database_url)):
        await until(lambda: shares(connection) == [10])
        async with running(a_pump(ten, database_url)):
            await until(lambda: shares(connection) == [5, 5])
            async with running(a_pump(ten, database_url)):
                await until(lambda: shares(connection) == [4, 4, 2])
                for site in SITES:
                    ten[site].save(a_session("second", site=site), "1-a")
                await until(lambda: count(connection, "sessions") == 20)
        await until(lambda: shares(connection) == [10])
    await until(lambda: shares(connection) == [])
    assert not logged.having(event="batch dropped")
    assert logged.having(event="site given away")


async def test_projector_without_a_lock_leaves_the_site_alone(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    with connect(database_url) as other:
        other.execute(statements.LOCK, {"sites": statements.SITES, "keys": [lock_key("lima")]})
        async with running(a_pump(feed, database_url)):
            await logged.wait_for(event="batch committed", site="nairobi")
            feed.requests.clear()
            await until(lambda: feed.requests.count(("read", "nairobi")) > 10)
            assert ("read", "lima") not in feed.requests
            other.close()
            await logged.wait_for(event="document projected", id="session:s1")


async def test_projector_that_cannot_list_the_sites_takes_no_share_from_the_others(
    ten: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    blind = MemoryFeed()

    async def refuse() -> Sequence[SiteDatabase]:
        raise FeedRefused("wrong password")

    blind.databases = refuse  # type: ignore[method-assign]
    async with running(a_pump(blind, database_url)):
        await logged.wait_for(event="turn failed", worker="listing", times=2)
        async with running(a_pump(ten, database_url)):
            await until(lambda: shares(connection) == [10])
            await until(lambda: count(connection, "sessions") == 10)
            await logged.wait_for(event="turn failed", worker="listing", failures=5)
            assert shares(connection) == [10]


async def test_site_is_given_away_when_its_turn_is_over(
    database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed = MemoryFeed("lima", "nairobi")
    may_end = asyncio.Event()

    async def hold(request: str, site: str) -> None:
        if request == "leaves":
            await may_end.wait()

    feed.before = hold
    for site in ("lima", "nairobi"):
        feed[site].save(a_session("s1", site=site), "1-a")
    async with running(a_pump(feed, database_url)):
        await until(lambda: [request for request, _ in feed.requests].count("leaves") == 2)
        async with running(a_pump(feed, database_url)):
            await logged.wait_for(event="site given away")
            assert shares(connection) == [2]
            may_end.set()
            await until(lambda: shares(connection) == [1, 1])
            await logged.wait_for(event="document projected", times=2)
    assert not logged.having(event="batch dropped")


async def test_lost_locks_end_projecting_until_they_are_held_again(
    ten: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async with running(a_pump(ten, database_url)):
        await until(lambda: count(connection, "sessions") == 10)
        with connect(database_url) as other:
            # Whoever is there when the locks become free.
            keys = [lock_key(site) for site in SITES]
            end_lock_connections(connection)
            await until(lambda: _takes_all(other, keys))
            await logged.wait_for(event="site locks lost", sites=10)
            ten[SITES[0]].save(a_session("second", site=SITES[0]), "1-a")
            await until(lambda: ten.requests[-10:] == [("databases", "")] * 10)
            assert session_ids(connection, SITES[0]) == {"first"}
        await until(lambda: session_ids(connection, SITES[0]) == {"first", "second"})


def _takes_all(other: psycopg.Connection, keys: list[int]) -> bool:
    other.execute(statements.LOCK, {"sites": statements.SITES, "keys": keys})
    ((held,),) = rows(
        other,
        "SELECT count(DISTINCT objid) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    )
    return bool(held == len(keys))


async def test_paused_projector_that_wakes_up_changes_nothing(
    database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed = MemoryFeed("lima")
    feed["lima"].save(a_session("s1"), "1-a")
    paused, may_wake = asyncio.Event(), asyncio.Event()

    async def pause_the_first(request: str, site: str) -> None:
        if request == "write_mark" and feed["lima"].mark is not None and not paused.is_set():
            paused.set()
            await may_wake.wait()

    feed.before = pause_the_first
    # It has read its page and its bodies, and would commit them next. Its looks are far apart.
    async with running(Pump(feed, database_url, poll_seconds=0.05, look_seconds=3600)):
        async with asyncio.timeout(60):
            await paused.wait()
        end_lock_connections(connection)
        async with running(a_pump(feed, database_url)):
            await logged.wait_for(event="document projected", id="session:s1")
            feed["lima"].save(a_session("s1", visit="later"), "2-a", replaces=["1-a"])
            await logged.wait_for(event="document projected", id="session:s1", rev="2-a")
        before = everything(connection)
        may_wake.set()
        await logged.wait_for(event="batch dropped", worker="site lima")
        assert everything(connection) == before
    assert rows(connection, "SELECT rev, visit FROM sessions") == [("2-a", "later")]


class Projector:
    """`child_that_projects`, a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@contextlib.asynccontextmanager
async def projecting(database_url: str, store_url: str) -> AsyncIterator[Projector]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.projection.child_that_projects",
        database_url,
        store_url,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Projector(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def push(store: CouchClient, name: str) -> None:
    for site in SITES:
        document = a_session(name, site=site)
        await store.push(
            f"site-{site}", [encode({**document, "_rev": "1-a", "_revisions": {"start": 1, "ids": ["a"]}})]
        )


async def test_killed_and_paused_processes_lose_their_sites_and_nothing_is_missing_or_double(
    database_url: str, connection: psycopg.Connection, tmp_path: Path
) -> None:
    port = free_port()
    store_url = f"http://127.0.0.1:{port}/db"
    async with served(tmp_path, port), aiohttp.ClientSession() as session:
        store = CouchClient(session, store_url)
        for site in SITES:
            await store.create(f"site-{site}")
        await push(store, "first")
        async with projecting(database_url, store_url) as one, projecting(database_url, store_url) as two:
            await until(lambda: shares(connection) == [5, 5] and count(connection, "sessions") == 10)
            one.send(signal.SIGKILL)
            await push(store, "second")
            await until(lambda: shares(connection) == [10] and count(connection, "sessions") == 20)
            async with projecting(database_url, store_url):
                await until(lambda: shares(connection) == [5, 5])
                two.send(signal.SIGSTOP)
                await push(store, "third")
                # After six seconds without a look Postgres ends the paused one's locks.
                await until(lambda: shares(connection) == [10] and count(connection, "sessions") == 30)
                two.send(signal.SIGCONT)
                await push(store, "fourth")
                await until(lambda: shares(connection) == [5, 5] and count(connection, "sessions") == 40)
    assert count(connection, "trials") == 40 * 4
    assert count(connection, "documents") == 40
    assert count(connection, "quarantine") == 0


def test_both_sides_notice_within_seconds_that_the_other_is_gone(database_url: str) -> None:
    with (
        connect(database_url, kind="watchful") as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as ours,
    ):
        told = [
            rows(connection, f"SHOW {setting}")[0][0]
            for setting in (
                "tcp_keepalives_idle",
                "tcp_keepalives_interval",
                "tcp_keepalives_count",
                "idle_session_timeout",
            )
        ]
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [ours.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [2, 1, 3]
    assert told == ["2", "1", "3", "6s"]

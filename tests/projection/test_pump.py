"""The loop over all sites: rewinds, crashes, failing neighbours, lost connections, stopping."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from reporting.engine import connect
from reporting.errors import FeedUnavailable, SourceReplaced, StaleBatch
from reporting.projection.feed import Mark
from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from tests.documents.examples import a_session, a_task_run
from tests.projection.conftest import (
    LogEntries,
    Project,
    count,
    everything,
    rows,
    running,
    session_ids,
    states,
)
from tests.projection.memory_feed import MemoryFeed


def epoch(connection: psycopg.Connection) -> str:
    ((found,),) = rows(connection, "SELECT epoch FROM checkpoints WHERE site = 'lima'")
    return str(found)


async def test_everything_there_is_gets_projected_batch_by_batch(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    for n in range(25):
        feed["lima"].save(a_session(f"s{n}"), "1-a")
    feed["nairobi"].save(a_session("s0", site="nairobi"), "1-a")
    await Pump(feed, database_url, limits=Limits(changes=10)).drain()
    assert count(connection, "sessions") == 26
    assert rows(connection, "SELECT site, batch, pending, rereading FROM checkpoints ORDER BY site") == [
        ("lima", 3, 0, False),
        ("nairobi", 1, 0, False),
    ]
    assert feed["lima"].mark == Mark(epoch(connection), 3)


async def test_projecting_again_changes_no_row(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    before = everything(connection)
    await project()
    assert everything(connection) == before


async def test_document_that_vanishes_while_it_is_read_is_left_out(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_session("s2"), "1-a")

    async def purge_first(request: str, site: str) -> None:
        if (request, site) == ("leaves", "lima"):
            feed["lima"].purge("session:s1")

    feed.before = purge_first
    await project()
    assert session_ids(connection) == {"s2"}


async def test_document_that_goes_on_while_it_is_read_is_projected_as_it_came(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")

    async def save_again(request: str, site: str) -> None:
        if (request, site) == ("leaves", "lima") and "1-a" in feed["lima"].leaves["session:s1"]:
            feed["lima"].save(a_session("s1", visit="later"), "2-a", replaces=["1-a"])

    feed.before = save_again
    await project()
    await project()
    assert rows(connection, "SELECT rev, visit FROM sessions") == [("2-a", "later")]


async def test_change_is_projected_while_running_and_logged_with_its_request(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    connection.execute(
        "INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id) VALUES"
        " ('lima', 'session:s1', '1-a', 'received', 'tab', 'tablet', 'c', 'request-9')"
    )
    async with running(Pump(feed, database_url, poll_seconds=3600)):
        await logged.wait_for(event="batch committed", site="lima")
        feed["lima"].save(a_session("s1"), "1-a")
        feed["lima"].save(a_session("s2", status="lost"), "1-b")
        feed.hint()
        await logged.wait_for(event="batch committed", times=2, site="lima")
    assert session_ids(connection) == {"s1"}
    (projected,) = logged.having(event="document projected")
    assert projected == {
        "event": "document projected",
        "level": "info",
        "site": "lima",
        "id": "session:s1",
        "rev": "1-a",
        "state": "projected",
        "request_id": "request-9",
    }
    (quarantined,) = logged.having(event="document quarantined")
    assert (quarantined["id"], quarantined["rev"], quarantined["code"]) == (
        "session:s2",
        "1-b",
        "unknown_value",
    )


@pytest.mark.parametrize("failure", [FeedUnavailable("503"), KeyError("no such member"), None], ids=repr)
async def test_failing_or_hanging_site_does_not_keep_another_from_being_projected(
    feed: MemoryFeed,
    database_url: str,
    connection: psycopg.Connection,
    logged: LogEntries,
    failure: Exception | None,
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["nairobi"].save(a_session("s1", site="nairobi"), "1-a")

    async def fail(request: str, site: str) -> None:
        if site == "nairobi":
            if failure is None:
                await asyncio.Event().wait()
            else:
                raise failure

    feed.before = fail
    async with running(Pump(feed, database_url, sites_at_once=1, poll_seconds=0.01)):
        await logged.wait_for(event="batch committed", site="lima")
        feed["lima"].save(a_session("s2"), "1-a")
        await logged.wait_for(event="batch committed", times=2, site="lima")
        if failure is not None:
            await logged.wait_for(event="turn failed", worker="site nairobi", failures=2)
    assert session_ids(connection) == {"s1", "s2"}
    assert session_ids(connection, "nairobi") == set()


async def test_feed_without_hints_is_polled_all_the_same(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async def no_hints(timeout: float) -> None:  # noqa: ASYNC109 (as the interface has it)
        raise FeedUnavailable("no _db_updates here")

    feed.wait = no_hints  # type: ignore[method-assign]
    async with running(Pump(feed, database_url, poll_seconds=0.01)):
        await logged.wait_for(event="batch committed", site="lima")
        feed["lima"].save(a_session("s1"), "1-a")
        await logged.wait_for(event="document projected", id="session:s1")


async def test_site_is_projected_when_its_failure_is_over(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    failures = iter([FeedUnavailable("503"), FeedUnavailable("503")])

    async def fail_twice(request: str, site: str) -> None:
        failure = next(failures, None) if site == "lima" and request == "read" else None
        if failure is not None:
            raise failure

    feed.before = fail_twice
    async with running(Pump(feed, database_url, poll_seconds=3600)):
        await logged.wait_for(event="batch committed", site="lima")
    assert session_ids(connection) == {"s1"}


async def test_site_that_is_added_or_removed_while_running_is_followed(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async with running(Pump(feed, database_url, poll_seconds=0.01)):
        await logged.wait_for(event="batch committed", site="lima")
        added = MemoryFeed("cusco")["cusco"]
        added.save(a_session("s1", site="cusco"), "1-a")
        feed.of_site["cusco"] = added
        del feed.of_site["nairobi"]
        await logged.wait_for(event="document projected", site="cusco")
    assert session_ids(connection, "cusco") == {"s1"}
    assert not logged.having(event="turn failed", worker="site cusco")


async def test_lost_connections_are_replaced(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    async with running(Pump(feed, database_url, poll_seconds=0.01)):
        await logged.wait_for(event="document projected", id="session:s1")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        feed["lima"].save(a_session("s2"), "1-a")
        await logged.wait_for(event="document projected", id="session:s2")
    assert session_ids(connection) == {"s1", "s2"}


async def test_two_projectors_that_both_take_a_site_for_theirs_project_everything_once(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    for n in range(40):
        feed["lima"].save(a_session(f"s{n}"), "1-a")
    limits = Limits(changes=3)

    async def drain_again_and_again() -> None:
        while True:
            with suppress(StaleBatch, SourceReplaced):
                await Pump(feed, database_url, limits=limits).drain()

    async with running(Pump(feed, database_url, limits=limits, poll_seconds=0.01)):
        other = asyncio.create_task(drain_again_and_again())
        await logged.wait_for(event="batch committed", site="lima", pending=0)
        feed["lima"].save(a_session("last"), "1-a")
        await logged.wait_for(event="document projected", id="session:last")
        other.cancel()
        await asyncio.wait([other])
    assert count(connection, "sessions") == 41
    assert count(connection, "trials") == 41 * 4
    assert set(states(connection).values()) == {"projected"}


async def test_projector_stopped_at_any_request_loses_nothing(
    feed: MemoryFeed, database_url: str, project: Project, connection: psycopg.Connection
) -> None:
    for n in range(6):
        feed["lima"].save(a_session(f"s{n}", tasks=[a_task_run(trials=50)]), "1-a")
    for stop_at in range(1, 12):
        stop = asyncio.Event()
        seen = iter(range(1, stop_at + 1))

        async def stop_in_time(
            request: str, site: str, stop: asyncio.Event = stop, seen: Iterator[int] = seen
        ) -> None:
            if next(seen, None) is None:
                stop.set()
                await asyncio.Event().wait()

        feed.before = stop_in_time
        async with asyncio.timeout(60):
            await Pump(feed, database_url, limits=Limits(changes=1)).run(stop)
    feed.before = nothing_happens
    await project()
    assert count(connection, "sessions") == 6
    assert count(connection, "trials") == 300


async def nothing_happens(request: str, site: str) -> None:
    return None


def wait_until_a_lock_is_waited_for(connection: psycopg.Connection) -> None:
    while not rows(connection, "SELECT FROM pg_locks WHERE NOT granted"):
        pass


async def test_stop_during_a_commit_waits_for_it(database_url: str, connection: psycopg.Connection) -> None:
    feed = MemoryFeed("lima")
    feed["lima"].save(a_session("s1"), "1-a")
    stop = asyncio.Event()
    with connect(database_url) as blocker:
        with blocker.transaction():
            blocker.execute("LOCK TABLE sessions IN SHARE ROW EXCLUSIVE MODE")
            run = asyncio.create_task(Pump(feed, database_url).run(stop))
            async with asyncio.timeout(60):
                await asyncio.to_thread(wait_until_a_lock_is_waited_for, connection)
            stop.set()
            await asyncio.sleep(0)
            assert not run.done()
        async with asyncio.timeout(60):
            await run
    assert session_ids(connection) == {"s1"}

"""Many sites on few connections: hints by name, polling, and what is told of each site."""

import asyncio

import psycopg
import pytest

from reporting.errors import FeedRefused, FeedUnavailable
from reporting.projection.pump import Pump
from tests.documents.examples import a_session
from tests.projection.conftest import LogEntries, rows, running, until
from tests.projection.memory_feed import MemoryFeed

MANY = 300


def site(number: int) -> str:
    return f"s{number:03}"


@pytest.fixture
def many() -> MemoryFeed:
    """Three hundred empty site databases."""
    return MemoryFeed(*map(site, range(MANY)))


def states(connection: psycopg.Connection) -> dict[str, tuple[str, int, str | None, bool]]:
    """By site: state, failures, error, and whether a next try is announced."""
    found = rows(connection, "SELECT site, state, failures, error, next_try_at IS NOT NULL FROM site_states")
    return {row[0]: row[1:] for row in found}


async def test_one_write_among_three_hundred_sites_costs_the_requests_of_one(
    many: MemoryFeed, database_url: str, logged: LogEntries
) -> None:
    async with running(Pump(many, database_url, poll_seconds=3600)):
        await logged.wait_for(event="batch committed", times=MANY)
        await until(lambda: not [task for task in asyncio.all_tasks() if "turn of site" in task.get_name()])
        many.requests.clear()
        many[site(7)].save(a_session("s1", site=site(7)), "1-a")
        many.hint(site(7))
        await logged.wait_for(event="document projected", id="session:s1")
        await until(lambda: not [task for task in asyncio.all_tasks() if "turn of site" in task.get_name()])
    asked = [request for request in many.requests if request[0] not in ("wait", "databases")]
    assert {database for _, database in asked} == {site(7)}
    assert len(asked) <= 6


async def test_all_sites_are_polled_though_no_hint_tells_of_them_within_bounds(
    many: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    at_once = most_at_once = most_connections = 0
    polled: set[str] = set()

    async def count(request: str, of: str) -> None:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        if request == "read":
            polled.add(of)
        await asyncio.sleep(0)
        at_once -= 1

    def look() -> bool:
        nonlocal most_connections
        ((found,),) = rows(
            connection,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'",
        )
        most_connections = max(most_connections, found)
        return len(polled) == MANY

    many.before = count
    async with running(Pump(many, database_url, sites_at_once=2, poll_seconds=0.2)):
        await until(look)
        await logged.wait_for(event="batch committed", times=MANY)
        polled.clear()
        many[site(200)].save(a_session("s1", site=site(200)), "1-a")
        await until(look)
        await logged.wait_for(event="document projected", id="session:s1")
    assert most_at_once <= 8 + 2
    assert most_connections <= 2 + 1


async def test_hint_without_names_wakes_every_site(
    feed: MemoryFeed, database_url: str, logged: LogEntries
) -> None:
    async with running(Pump(feed, database_url, poll_seconds=3600)):
        await logged.wait_for(event="batch committed", times=2)
        for name in ("lima", "nairobi"):
            feed[name].save(a_session(f"of-{name}", site=name), "1-a")
        feed.hint()
        await logged.wait_for(event="document projected", id="session:of-lima")
        await logged.wait_for(event="document projected", id="session:of-nairobi")


async def test_hint_of_a_database_that_is_not_listed_has_it_found(
    feed: MemoryFeed, database_url: str, logged: LogEntries
) -> None:
    async with running(Pump(feed, database_url, poll_seconds=3600)):
        await logged.wait_for(event="batch committed", times=2)
        feed.of_site["cusco"] = MemoryFeed("cusco")["cusco"]
        feed["cusco"].save(a_session("s1", site="cusco"), "1-a")
        feed.hint("cusco")
        await logged.wait_for(event="document projected", site="cusco")


async def test_answers_at_once_that_tell_nothing_are_no_hints(
    feed: MemoryFeed, database_url: str, logged: LogEntries
) -> None:
    waits = 0

    async def nothing(timeout: float) -> frozenset[str]:  # noqa: ASYNC109 (as the interface has it)
        nonlocal waits
        waits += 1
        return frozenset()

    feed.wait = nothing  # type: ignore[method-assign]
    async with running(Pump(feed, database_url, poll_seconds=0.2)):
        await logged.wait_for(event="batch committed", times=2)
        feed["lima"].save(a_session("s1"), "1-a")
        await logged.wait_for(event="document projected", id="session:s1")
        polls = len([request for request in feed.requests if request == ("read", "lima")])
    assert waits <= 3 * polls + 3


async def test_worker_and_site_may_have_the_same_name(database_url: str, logged: LogEntries) -> None:
    feed = MemoryFeed("listing", "hints", "sharing", "references", "replays", "site")
    async with running(Pump(feed, database_url, poll_seconds=0.05)):
        await logged.wait_for(event="batch committed", times=6)
        feed["listing"].save(a_session("s1", site="listing"), "1-a")
        await logged.wait_for(event="document projected", site="listing")


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (FeedUnavailable("503"), "backing_off"),
        (TimeoutError(), "backing_off"),
        (psycopg.OperationalError("disk full"), "backing_off"),
        (FeedRefused("401"), "error"),
        (KeyError("seq"), "error"),
    ],
    ids=repr,
)
async def test_failing_site_says_so_until_it_is_over(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, failure: Exception, state: str
) -> None:
    fails = True

    async def fail(request: str, of: str) -> None:
        if fails and of == "lima":
            raise failure

    feed.before = fail
    async with running(Pump(feed, database_url, poll_seconds=0.05, look_seconds=0.05)):
        await until(lambda: states(connection).get("lima", ("", 0))[1] >= 2)
        assert states(connection)["lima"][0] == state
        assert states(connection)["lima"][2:] == (f"{type(failure).__name__}: {failure}", True)
        await until(lambda: states(connection).get("nairobi") == ("running", 0, None, False))
        fails = False
        await until(lambda: states(connection)["lima"] == ("running", 0, None, False))


async def test_state_is_written_when_it_changes_and_not_at_every_turn(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    def written() -> list[tuple[object, ...]]:
        return rows(connection, "SELECT site, xmin::text, state, since FROM site_states ORDER BY site")

    async with running(Pump(feed, database_url, poll_seconds=0.01, look_seconds=0.01)):
        await until(lambda: {state for _, _, state, _ in written()} == {"running"} and len(written()) == 2)
        before = written()
        feed.requests.clear()
        await until(lambda: len(feed.requests) > 100)
        assert written() == before
    # Another process that finds it so says so, and since when it has been so stays.
    async with running(Pump(feed, database_url, poll_seconds=0.01, look_seconds=0.01)):
        await until(lambda: written() != before)
    assert [row[2:] for row in written()] == [row[2:] for row in before]


async def test_site_that_is_read_from_its_start_is_initializing_until_the_end(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    may_go_on = asyncio.Event()
    reads = 0

    async def stop_at_the_second_page(request: str, of: str) -> None:
        nonlocal reads
        if (request, of) == ("read", "lima"):
            reads += 1
            if reads == 2:
                await may_go_on.wait()

    for n in range(300):
        feed["lima"].save({"_id": f"memo{n}"}, "1-a")
    feed.before = stop_at_the_second_page
    async with running(Pump(feed, database_url, look_seconds=0.05)):
        await until(lambda: "lima" in states(connection))
        assert states(connection)["lima"][0] == "initializing"
        may_go_on.set()
        await until(lambda: states(connection)["lima"][0] == "running")


async def test_state_of_a_site_that_is_gone_goes(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    connection.execute(
        "INSERT INTO site_states (site, state, since, projector) VALUES"
        " ('long-gone', 'running', now() - interval '1 day', 'p'), ('just-seen', 'running', now(), 'p')"
    )
    async with running(Pump(feed, database_url, poll_seconds=0.05, look_seconds=0.05)):
        await until(lambda: set(states(connection)) == {"just-seen", "lima", "nairobi"})
        del feed.of_site["nairobi"]
        await until(lambda: set(states(connection)) == {"just-seen", "lima"})

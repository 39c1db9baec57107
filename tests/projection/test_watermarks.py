"""Through which moment a site is complete: never too late."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from reporting.engine import connect
from reporting.projection.batch import Checkpoint
from reporting.projection.checkpoint import load_checkpoint
from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from reporting.projection.replays import request_replays
from reporting.projection.watermarks import Sighting, advance_idle, read_clock
from tests.documents.examples import a_session
from tests.projection.conftest import LogEntries, Project, count, rows, running, until
from tests.projection.memory_feed import MemoryFeed


def complete_through(connection: psycopg.Connection, site: str = "lima") -> datetime | None:
    found = rows(connection, "SELECT complete_through FROM checkpoints WHERE site = %(site)s", site=site)
    return found[0][0] if found else None


def known(connection: psycopg.Connection) -> Checkpoint:
    checkpoint = load_checkpoint(connection, "lima")
    assert checkpoint is not None
    return checkpoint


async def test_site_is_complete_through_the_moment_before_its_feed_was_read_to_the_end(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    read_at: list[datetime] = []

    async def note(request: str, site: str) -> None:
        if (request, site) == ("read", "lima"):
            read_at.append(read_clock(connection))

    feed["lima"].save(a_session("s1"), "1-a")
    feed.before = note
    before = read_clock(connection)
    await project()
    moment = complete_through(connection)
    assert moment is not None
    assert before < moment < read_at[0]


async def test_site_with_a_backlog_is_complete_through_nothing_until_the_end(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    moments: list[datetime | None] = []

    async def note(request: str, site: str) -> None:
        if (request, site) == ("read", "lima"):
            moments.append(complete_through(connection))

    for n in range(3):
        feed["lima"].save(a_session(f"s{n}"), "1-a")
    feed.before = note
    await Pump(feed, database_url, limits=Limits(changes=1)).drain()
    assert moments[:3] == [None, None, None]  # and perhaps a look for replays that the reading has asked for
    before = complete_through(connection)
    assert before is not None
    for n in range(3, 6):
        feed["lima"].save(a_session(f"s{n}"), "1-a")
    moments.clear()
    await Pump(feed, database_url, limits=Limits(changes=1)).drain()
    assert moments == [before, before, before]
    assert before < (complete_through(connection) or before)


async def test_replay_moves_nothing_and_does_not_count(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    before = complete_through(connection)
    request_replays(connection, "lima", ["session:s1"], cause="retry", requested_by="ada")
    await project()
    assert count(connection, "replays") == 0
    assert complete_through(connection) == before


async def test_site_that_is_read_from_its_start_again_is_not_known_to_be_complete(
    feed: MemoryFeed, project: Project, database_url: str, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    first = complete_through(connection)
    for n in range(2):
        feed.recreate("lima").save(a_session(f"s{n}"), "1-a")
    seen: list[datetime | None] = []

    async def note(request: str, site: str) -> None:
        if (request, site) == ("read", "lima"):
            seen.append(complete_through(connection))

    feed.before = note
    await Pump(feed, database_url, limits=Limits(changes=1)).drain()
    assert seen[0] is None
    assert (complete_through(connection) or first) != first


async def test_idle_sites_move_on_while_a_projector_runs(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async with running(Pump(feed, database_url, poll_seconds=0.01, look_seconds=0.01)):
        for site in ("lima", "nairobi"):
            await until(lambda site=site: complete_through(connection, site) is not None)  # type: ignore[misc]
        first = {site: complete_through(connection, site) for site in ("lima", "nairobi")}
        advanced = rows(connection, "SELECT site, batch, advanced_at FROM checkpoints ORDER BY site")
        for site, moment in first.items():
            await until(lambda site=site, moment=moment: complete_through(connection, site) != moment)  # type: ignore[misc]
            assert moment < complete_through(connection, site) < read_clock(connection)  # type: ignore[operator]
    assert rows(connection, "SELECT site, batch, advanced_at FROM checkpoints ORDER BY site") == advanced


async def test_idle_site_that_does_not_answer_stands(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    hangs = False

    async def hang(request: str, site: str) -> None:
        if hangs and site == "lima":
            await asyncio.Event().wait()

    feed.before = hang
    async with running(Pump(feed, database_url, poll_seconds=0.01, look_seconds=0.01)):
        await until(lambda: complete_through(connection) is not None)
        hangs = True
        last_answer = read_clock(connection)
        for _ in range(3):
            moment = complete_through(connection, "nairobi")
            await until(lambda moment=moment: complete_through(connection, "nairobi") != moment)  # type: ignore[misc]
        assert (complete_through(connection) or last_answer) <= last_answer


@pytest.mark.parametrize(
    ("stale", "moves"),
    [
        ({}, True),
        ({"batch": 0}, False),
        ({"epoch": "another"}, False),
        ({"since": "0"}, False),
        ({"site": "nowhere"}, False),
    ],
    ids=str,
)
async def test_sighting_counts_only_of_the_checkpoint_it_was_made_at(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, stale: dict[str, object], moves: bool
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    before = complete_through(connection)
    later = datetime.now(UTC) + timedelta(hours=1)
    advance_idle(connection, [Sighting(known(connection)._replace(**stale), later)])  # type: ignore[arg-type]
    assert complete_through(connection) == (later if moves else before)


async def test_moment_never_goes_back(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    await project()
    before = complete_through(connection)
    assert before is not None
    advance_idle(connection, [Sighting(known(connection), before - timedelta(seconds=5))])
    assert complete_through(connection) == before
    ahead = before + timedelta(hours=1)
    advance_idle(connection, [Sighting(known(connection), ahead)])
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    assert complete_through(connection) == ahead


async def test_site_whose_batch_is_being_committed_holds_up_no_idle_one(
    feed: MemoryFeed, project: Project, database_url: str, connection: psycopg.Connection
) -> None:
    await project()
    before = complete_through(connection)
    later = datetime.now(UTC) + timedelta(hours=1)
    nairobi = load_checkpoint(connection, "nairobi")
    assert nairobi is not None
    with connect(database_url) as other, other.transaction():
        other.execute("SELECT FROM checkpoints WHERE site = 'lima' FOR UPDATE")
        advance_idle(connection, [Sighting(known(connection), later), Sighting(nairobi, later)])
        assert complete_through(connection, "nairobi") == later
    assert complete_through(connection) == before

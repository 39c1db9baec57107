"""The projector proves its sites by itself: one at a time, the longest waiting first, and tells."""

import psycopg
import pytest

from reporting.errors import FeedUnavailable
from reporting.projection.feed import SiteDatabase
from reporting.projection.proof_schedule import ProofSchedule
from reporting.projection.pump import Pump
from tests.documents.examples import a_session
from tests.projection.conftest import LogEntries, Project, count, rows, running
from tests.projection.memory_feed import MemoryFeed

LIMA, NAIROBI = SiteDatabase("lima", "site-lima"), SiteDatabase("nairobi", "site-nairobi")


@pytest.fixture
async def schedule(feed: MemoryFeed, database_url: str, project: Project) -> ProofSchedule:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    return ProofSchedule(feed, database_url, interval_s=3600, full_interval_s=36_000)


async def test_each_site_is_proved_once_and_then_waits_for_its_interval(
    schedule: ProofSchedule, connection: psycopg.Connection
) -> None:
    assert [await schedule.turn([LIMA, NAIROBI]) for _ in range(2)] == [0.0, 0.0]
    assert await schedule.turn([LIMA, NAIROBI]) == 60.0
    found = rows(connection, "SELECT site, kind FROM proofs ORDER BY site")
    assert found == [("lima", "full"), ("nairobi", "full")]
    connection.execute("UPDATE proofs SET finished_at = now() - interval '2 hours' WHERE site = 'lima'")
    assert await schedule.turn([LIMA, NAIROBI]) == 0.0
    assert await schedule.turn([LIMA, NAIROBI]) == 60.0
    connection.execute("UPDATE proofs SET finished_at = now() - interval '11 hours' WHERE site = 'lima'")
    assert await schedule.turn([LIMA, NAIROBI]) == 0.0
    kinds = rows(connection, "SELECT kind FROM proofs WHERE site = 'lima' ORDER BY id")
    assert kinds == [("full",), ("incremental",), ("full",)]
    await schedule.close()


async def test_without_a_site_there_is_nothing_to_prove(
    schedule: ProofSchedule, connection: psycopg.Connection
) -> None:
    assert await schedule.turn([]) > 0
    assert count(connection, "proofs") == 0
    await schedule.close()


async def test_a_site_that_fails_waits_and_the_others_go_on(
    feed: MemoryFeed, schedule: ProofSchedule, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async def fail(request: str, site: str) -> None:
        if site == "lima":
            raise FeedUnavailable("gone")

    feed.before = fail
    for _ in range(2):
        await schedule.turn([LIMA, NAIROBI])
    assert await schedule.turn([LIMA, NAIROBI]) > 0
    assert rows(connection, "SELECT site FROM proofs") == [("nairobi",)]
    assert [entry["site"] for entry in logged.having(event="not reconciled", level="warning")] == ["lima"]
    await schedule.close()


async def test_whatever_a_site_fails_with_the_others_go_on(
    feed: MemoryFeed, schedule: ProofSchedule, connection: psycopg.Connection
) -> None:
    async def fail(request: str, site: str) -> None:
        if site == "lima":
            raise psycopg.errors.DiskFull("no space left on device")

    feed.before = fail
    with pytest.raises(psycopg.errors.DiskFull):
        await schedule.turn([LIMA, NAIROBI])
    assert await schedule.turn([LIMA, NAIROBI]) == 0.0
    assert await schedule.turn([LIMA, NAIROBI]) > 0
    assert rows(connection, "SELECT site FROM proofs") == [("nairobi",)]
    await schedule.close()


async def test_a_gap_is_told_as_a_warning_by_a_running_projector(
    feed: MemoryFeed,
    schedule: ProofSchedule,
    database_url: str,
    connection: psycopg.Connection,
    logged: LogEntries,
) -> None:
    connection.execute("DELETE FROM documents")
    async with running(Pump(feed, database_url, proofs=schedule, poll_seconds=0.05)):
        await logged.wait_for(event="reconciled", site="lima", missing=1, level="warning")
        await logged.wait_for(event="reconciled", site="nairobi", missing=0, level="info")
    assert count(connection, "replays") == 0

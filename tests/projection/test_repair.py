"""What a repair marks ends as what the projector itself has found gone."""

from datetime import UTC, datetime

import psycopg
import pytest

from reporting.projection.connections import Lease
from reporting.projection.feed import SiteDatabase
from reporting.projection.reconcile import reconcile_lost_site, reconcile_site
from tests.documents.examples import a_patch, a_session
from tests.projection.conftest import Project, count, rows
from tests.projection.memory_feed import MemoryFeed
from tests.projection.test_across_documents import a_sitting, duplicates, same_trials

LIMA = SiteDatabase("lima", "site-lima")


def clock() -> datetime:
    return datetime.now(UTC)


def tell(done: int, total: int) -> None:
    assert done <= total


async def repair(feed: MemoryFeed, connection: psycopg.Connection) -> None:
    await reconcile_site(feed, Lease(connection), LIMA, full=True, repair=True, now=clock, tell=tell)


@pytest.mark.parametrize("recorded", [True, False])
async def test_twin_of_a_session_that_is_gone_is_none_any_more(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, *, recorded: bool
) -> None:
    for name in "ab":
        feed["lima"].save(a_sitting(name), "1-a")
    await project()
    assert duplicates(connection) == same_trials(a="b", b="a")
    feed["lima"].purge("session:a")
    if not recorded:
        connection.execute("DELETE FROM documents WHERE doc_id = 'session:a'")
    await repair(feed, connection)
    assert duplicates(connection) == {}


async def test_correction_that_is_gone_applies_no_longer(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_patch("s1", 1, {"visit": "x"}, {"visit": "baseline"}), "1-c")
    await project()
    feed["lima"].purge("correction:s1:1")
    await repair(feed, connection)
    await project()
    assert rows(connection, "SELECT visit FROM sessions") == [("baseline",)]
    assert rows(connection, "SELECT source_missing_at IS NOT NULL FROM corrections") == [(True,)]


async def test_what_a_lost_site_leaves_is_marked_and_flags_nobody(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for name in "ab":
        feed["lima"].save(a_sitting(name), "1-a")
    feed["lima"].save(a_patch("a", 1, {"visit": "x"}, {"visit": "baseline"}), "1-c")
    await project()
    lima = feed.of_site.pop("lima")
    proof = await reconcile_lost_site(Lease(connection), "lima", repair=True, now=clock)
    assert (proof.repaired, proof.holds) == (3, True)
    assert duplicates(connection) == {}
    assert rows(connection, "SELECT FROM corrections WHERE source_missing_at IS NULL") == []
    assert (await reconcile_lost_site(Lease(connection), "lima", repair=False, now=clock)).holds
    feed.of_site["lima"] = lima
    await repair(feed, connection)
    await project()
    assert len(duplicates(connection)) == 2
    assert rows(connection, "SELECT visit FROM sessions WHERE id = 'a'") == [("x",)]


async def test_correction_of_a_session_that_was_gone_applies_when_it_is_found_again(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    (gone,) = feed["lima"].leaves["session:s1"].values()
    feed["lima"].purge("session:s1")
    feed["lima"].mark = None
    await project()
    feed["lima"].save(a_patch("s1", 1, {"visit": "x"}, {"visit": "baseline"}), "1-c")
    await project()
    assert count(connection, "replays") == 0
    feed["lima"].save(gone.body, gone.rev, doc_id=gone.id)
    await project()
    assert rows(connection, "SELECT visit, source_missing_at FROM sessions") == [("x", None)]
    assert count(connection, "replays") == 0

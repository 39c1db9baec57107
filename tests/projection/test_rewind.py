"""When the feed counts as continued, and what becomes of rows whose documents are gone."""

import psycopg
import pytest

from reporting.engine import connect
from reporting.errors import SourceReplaced
from reporting.projection.batch import Checkpoint
from reporting.projection.checkpoint import load_checkpoint, start_epoch
from reporting.projection.feed import Mark, SiteDatabase
from reporting.projection.pump import Pump
from reporting.projection.rewind import is_continued
from tests.documents.examples import a_session
from tests.projection.conftest import LogEntries, Project, count, rows, running, session_ids
from tests.projection.memory_feed import MemoryFeed

CHECKPOINT = Checkpoint("lima", "site-lima", "epoch-1", 7, "42", rereading=False)


@pytest.mark.parametrize(
    ("mark", "continued"),
    [
        (Mark("epoch-1", 7), True),
        (Mark("epoch-1", 8), True),
        (Mark("epoch-1", 6), False),
        (Mark("epoch-1", 9), False),
        (Mark("epoch-1", 0), False),
        (Mark("epoch-0", 7), False),
        (None, False),
    ],
)
def test_mark_and_checkpoint_agree_or_the_site_is_read_from_its_start(
    mark: Mark | None, continued: bool
) -> None:
    assert is_continued(mark, CHECKPOINT) is continued


def epoch(connection: psycopg.Connection) -> str:
    ((found,),) = rows(connection, "SELECT epoch FROM checkpoints WHERE site = 'lima'")
    return str(found)


def missing(connection: psycopg.Connection) -> dict[str, bool]:
    return dict(
        rows(connection, "SELECT id, source_missing_at IS NOT NULL FROM sessions WHERE site = 'lima'")
    )


async def test_crash_between_mark_and_commit_repeats_the_batch(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, owner_database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    begun = epoch(connection)
    feed["lima"].save(a_session("s2"), "1-a")
    with connect(owner_database_url) as owner:
        owner.execute("REVOKE INSERT ON scores FROM metricis_app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await project()
        owner.execute("GRANT INSERT ON scores TO metricis_app")
    assert feed["lima"].mark == Mark(begun, 2)
    assert rows(connection, "SELECT batch FROM checkpoints WHERE site = 'lima'") == [(1,)]
    await project()
    assert session_ids(connection) == {"s1", "s2"}
    assert epoch(connection) == begun


async def test_recreated_database_is_read_from_its_start_and_what_is_gone_is_marked(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_session("s2"), "1-a")
    await project()
    begun = epoch(connection)
    before = {row[0]: row for row in rows(connection, "SELECT id, projected_at FROM sessions")}
    recreated = feed.recreate("lima")
    recreated.save(a_session("s2"), "1-a")
    recreated.save(a_session("s3"), "1-a")
    await project()
    assert epoch(connection) != begun
    assert missing(connection) == {"s1": True, "s2": False, "s3": False}
    assert count(connection, "trials") == 12
    assert {
        row[0]: row for row in rows(connection, "SELECT id, projected_at FROM sessions")
    }.items() >= before.items()
    recreated.save(a_session("s1"), "1-a")
    await project()
    assert missing(connection) == {"s1": False, "s2": False, "s3": False}


async def test_recreated_database_that_stays_empty_marks_everything(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    feed.recreate("lima")
    await project()
    assert missing(connection) == {"s1": True}
    assert rows(connection, "SELECT rereading FROM checkpoints WHERE site = 'lima'") == [(False,)]


async def test_restored_older_database_is_read_from_its_start(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    begun, older_mark = epoch(connection), feed["lima"].mark
    feed["lima"].save(a_session("s2"), "1-a")
    await project()
    restored = feed.recreate("lima")
    restored.save(a_session("s1"), "1-a")
    restored.mark = older_mark
    restored.save(a_session("s4"), "1-a")
    await project()
    assert epoch(connection) != begun
    assert missing(connection) == {"s1": False, "s2": True, "s4": False}


async def test_restored_older_postgres_is_noticed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    begun = epoch(connection)
    assert feed["lima"].mark is not None
    feed["lima"].mark = feed["lima"].mark._replace(batch=feed["lima"].mark.batch + 2)
    await project()
    assert epoch(connection) != begun


async def test_rereading_leaves_a_deleted_document_marked(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    feed["lima"].delete("session:s1", "2-a", replaces=["1-a"])
    await project()
    feed["lima"].mark = None
    await project()
    assert missing(connection) == {"s1": True}
    assert rows(connection, "SELECT state, source_missing_at IS NOT NULL FROM documents") == [
        ("deleted", True)
    ]


async def test_rereading_fetches_no_body_that_is_recorded(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_session("s2"), "1-a")
    await project()
    feed["lima"].mark = None
    feed.requests.clear()
    await project()
    assert ("leaves", "lima") not in feed.requests
    assert missing(connection) == {"s1": False, "s2": False}


async def test_database_replaced_between_reading_and_committing_drops_the_batch(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")

    async def recreate(request: str, site: str) -> None:
        if (request, site) == ("leaves", "lima"):
            feed.before = nothing
            feed.recreate("lima").save(a_session("other"), "1-a")

    async def nothing(request: str, site: str) -> None:
        return None

    feed["lima"].save(a_session("s2"), "1-a")
    feed.before = recreate
    with pytest.raises(SourceReplaced):
        await project()
    assert session_ids(connection) == set()
    await project()
    assert session_ids(connection) == {"other"}


async def test_checkpoint_moved_by_another_projector_is_read_again(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    async with running(Pump(feed, database_url, poll_seconds=3600)):
        await logged.wait_for(event="batch committed", site="lima")
        own = load_checkpoint(connection, "lima")
        start_epoch(connection, SiteDatabase("lima", "site-lima"), own, "epoch-of-another")
        feed["lima"].mark = Mark("epoch-of-another", 0)
        feed["lima"].save(a_session("s2"), "1-a")
        feed.hint()
        await logged.wait_for(event="document projected", id="session:s2")
    assert epoch(connection) == "epoch-of-another"
    assert missing(connection) == {"s1": False, "s2": False}


async def test_database_recreated_while_idle_is_noticed_at_the_next_poll(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    async with running(Pump(feed, database_url, poll_seconds=0.01)):
        await logged.wait_for(event="batch committed", site="lima")
        feed.recreate("lima")
        await logged.wait_for(event="batch committed", times=2, site="lima")
    assert missing(connection) == {"s1": True}

"""What is told about each revision that was pushed."""

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.engine import async_engine
from reporting.projection.checkpoint import load_checkpoint, start_epoch
from reporting.projection.feed import SiteDatabase
from reporting.receipts import DocumentReceipt, Told, read_receipts
from tests.documents.examples import a_consent, a_resolution, a_session, a_task_run
from tests.projection.conftest import Project
from tests.projection.memory_feed import MemoryFeed


@pytest.fixture
def log(connection: psycopg.Connection) -> "Log":
    return Log(connection)


class Log:
    """The ingest log, as the gateway writes it."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def received(self, doc_id: str, rev: str, *, site: str = "lima") -> None:
        self._write(site, doc_id, rev, "received", None)

    def refused(self, doc_id: str, rev: str, reason: str, *, site: str = "lima") -> None:
        self._write(site, doc_id, rev, "refused", reason)

    def _write(self, site: str, doc_id: str, rev: str, outcome: str, reason: str | None) -> None:
        self._connection.execute(
            "INSERT INTO ingest_log"
            " (site, doc_id, rev, outcome, device, role, credential, request_id, reason)"
            " VALUES (%s, %s, %s, %s, 'tab', 'tablet', 'c', 'r', %s)",
            (site, doc_id, rev, outcome, reason),
        )


async def told(database_url: str, *asked: tuple[str, str], site: str = "lima") -> list[DocumentReceipt]:
    engine: AsyncEngine = async_engine(database_url)
    try:
        async with engine.connect() as connection:
            return await read_receipts(connection, site, asked)
    finally:
        await engine.dispose()


async def test_projected_revision_is_projected(feed: MemoryFeed, project: Project, database_url: str) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_consent("c1"), "1-a")
    feed["lima"].save({"_id": "memo"}, "1-a")
    await project()
    assert await told(database_url, ("consent:c1", "1-a"), ("session:s1", "1-a"), ("memo", "1-a")) == [
        DocumentReceipt("consent:c1", "1-a", Told.PROJECTED),
        DocumentReceipt("session:s1", "1-a", Told.PROJECTED),
        DocumentReceipt("memo", "1-a", Told.STORED),
    ]


async def test_every_leaf_of_a_conflict_is_conflicted(
    feed: MemoryFeed, project: Project, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_session("s1", visit="followup"), "1-b")
    await project()
    asked = [("session:s1", "1-a"), ("session:s1", "1-b")]
    assert [receipt.state for receipt in await told(database_url, *asked)] == [Told.CONFLICTED] * 2
    resolved = {"path": "$.visit", "value": "baseline", "base": ["baseline", "followup"]}
    feed["lima"].save(a_resolution("s1", 1, resolved), "1-c")
    await project()
    assert [receipt.state for receipt in await told(database_url, *asked)] == [Told.PROJECTED] * 2


async def test_every_leaf_merged_without_a_contradiction_is_projected_and_a_deletion_beside_them_is_not(
    feed: MemoryFeed, project: Project, database_url: str
) -> None:
    feed["lima"].save(a_session("s1", tasks=[a_task_run("simon")]), "1-a")
    feed["lima"].save(a_session("s1", tasks=[a_task_run("stroop")]), "1-b")
    feed["lima"].delete("session:s1", "2-c", replaces=[])
    feed["lima"].save(a_consent("c1"), "1-a")
    feed["lima"].delete("consent:c1", "2-c", replaces=[])
    await project()
    asked = [("session:s1", "1-a"), ("session:s1", "1-b"), ("session:s1", "2-c")]
    asked += [("consent:c1", "1-a"), ("consent:c1", "2-c")]
    assert [receipt.state for receipt in await told(database_url, *asked)] == [
        Told.PROJECTED,
        Told.PROJECTED,
        Told.STORED,
        Told.PROJECTED,
        Told.STORED,
    ]


async def test_quarantined_revision_comes_with_the_reason_also_beside_a_valid_one(
    feed: MemoryFeed, project: Project, database_url: str
) -> None:
    feed["lima"].save(a_session("s1", status="lost"), "1-a")
    feed["lima"].save(a_session("s2"), "1-a")
    feed["lima"].save(a_session("s2", status="lost"), "1-b")
    await project()
    first, valid, beside = await told(
        database_url, ("session:s1", "1-a"), ("session:s2", "1-a"), ("session:s2", "1-b")
    )
    assert first.state is beside.state is Told.QUARANTINED
    assert first.reason is not None
    assert first.reason.startswith('$.status is "lost"')
    assert valid == DocumentReceipt("session:s2", "1-a", Told.PROJECTED)


async def test_revision_that_is_received_and_not_yet_read_is_stored(log: Log, database_url: str) -> None:
    log.received("session:s1", "1-a")
    assert await told(database_url, ("session:s1", "1-a")) == [
        DocumentReceipt("session:s1", "1-a", Told.STORED)
    ]


async def test_received_revision_of_a_document_with_other_leaves_is_for_the_gateway_to_decide(
    feed: MemoryFeed, project: Project, log: Log, database_url: str
) -> None:
    log.received("session:s1", "1-a")
    feed["lima"].save(a_session("s1"), "2-a")
    await project()
    assert await told(database_url, ("session:s1", "1-a")) == [
        DocumentReceipt("session:s1", "1-a", Told.SUPERSEDED_OR_NEWER, leaves=("2-a",))
    ]


async def test_refused_revision_comes_with_the_reason(log: Log, database_url: str) -> None:
    log.refused("session:s1", "1-a", "larger than 64 MB")
    assert await told(database_url, ("session:s1", "1-a")) == [
        DocumentReceipt("session:s1", "1-a", Told.REFUSED, "larger than 64 MB")
    ]


async def test_revision_that_was_refused_and_later_received_is_not_refused(
    log: Log, database_url: str
) -> None:
    log.refused("session:s1", "1-a", "the store was full")
    log.received("session:s1", "1-a")
    assert [receipt.state for receipt in await told(database_url, ("session:s1", "1-a"))] == [Told.STORED]


async def test_revision_nobody_knows_is_unknown_at_this_site(
    feed: MemoryFeed, project: Project, log: Log, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    log.received("session:s2", "1-a", site="nairobi")
    await project()
    receipts = await told(database_url, ("session:s2", "1-a"), ("session:s1", "9-f"))
    assert [receipt.state for receipt in receipts] == [Told.UNKNOWN, Told.UNKNOWN]


async def test_projected_revision_that_the_site_database_has_lost_is_unknown(
    feed: MemoryFeed, project: Project, log: Log, database_url: str
) -> None:
    log.received("session:s1", "1-a")
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    feed.recreate("lima")
    await project()
    assert [receipt.state for receipt in await told(database_url, ("session:s1", "1-a"))] == [Told.UNKNOWN]


async def test_recorded_session_without_its_row_is_not_projected(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    connection.execute("DELETE FROM sessions")
    assert [receipt.state for receipt in await told(database_url, ("session:s1", "1-a"))] == [Told.STORED]


async def test_revision_whose_rows_stayed_after_its_deletion_is_projected(
    feed: MemoryFeed, project: Project, log: Log, database_url: str
) -> None:
    log.received("session:s1", "1-a")
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    feed["lima"].delete("session:s1", "2-a", replaces=["1-a"])
    await project()
    assert [receipt.state for receipt in await told(database_url, ("session:s1", "1-a"))] == [Told.PROJECTED]


@pytest.mark.parametrize("status", ["completed", "lost"])
async def test_revision_that_was_deleted_before_it_had_rows_is_not_projected(
    feed: MemoryFeed, project: Project, log: Log, database_url: str, status: str
) -> None:
    log.received("session:s1", "1-a")
    feed["lima"].save(a_session("s1", status=status), "1-a")
    feed["lima"].delete("session:s1", "2-a", replaces=["1-a"])
    await project()
    live, deletion = await told(database_url, ("session:s1", "1-a"), ("session:s1", "2-a"))
    assert live.state is Told.SUPERSEDED_OR_NEWER
    assert deletion.state is Told.STORED


async def test_deletion_beside_a_projected_or_quarantined_leaf_is_not_projected(
    feed: MemoryFeed, project: Project, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "2-a")
    feed["lima"].delete("session:s1", "3-b", replaces=[])
    feed["lima"].save(a_session("s2", status="lost"), "2-a")
    feed["lima"].delete("session:s2", "3-b", replaces=[])
    await project()
    asked = [("session:s1", "2-a"), ("session:s1", "3-b"), ("session:s2", "2-a"), ("session:s2", "3-b")]
    assert [receipt.state for receipt in await told(database_url, *asked)] == [
        Told.PROJECTED,
        Told.STORED,
        Told.QUARANTINED,
        Told.STORED,
    ]


async def test_revision_that_a_rereading_has_not_found_again_yet_is_not_projected(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    start_epoch(connection, SiteDatabase("lima", "site-lima"), load_checkpoint(connection, "lima"), "e2")
    assert [receipt.state for receipt in await told(database_url, ("session:s1", "1-a"))] == [Told.STORED]
    await project()
    assert [receipt.state for receipt in await told(database_url, ("session:s1", "1-a"))] == [Told.PROJECTED]


async def test_receipts_come_in_the_order_asked_also_repeated_or_with_nul(
    feed: MemoryFeed, project: Project, database_url: str
) -> None:
    feed["lima"].save(a_session("s\0"), "1-a")
    await project()
    receipts = await told(database_url, ("session:s\0", "1-a"), ("session:x", "1-a"), ("session:s\0", "1-a"))
    assert [(receipt.id, receipt.state) for receipt in receipts] == [
        ("session:s\0", Told.PROJECTED),
        ("session:x", Told.UNKNOWN),
        ("session:s\0", Told.PROJECTED),
    ]
    assert await told(database_url) == []

"""Rows held against what is recorded of their documents: what is lost or stale beside a record is found."""

from datetime import UTC, datetime

import psycopg
import pytest

from reporting.projection import proving, row_proof
from reporting.projection.connections import Lease
from reporting.projection.feed import SiteDatabase
from reporting.projection.proof import Proof
from reporting.projection.reconcile import reconcile_site
from tests.documents.examples import a_device, a_patch, a_session, a_task_run
from tests.projection.conftest import Project, rows
from tests.projection.memory_feed import MemoryFeed

LIMA = SiteDatabase("lima", "site-lima")


def clock() -> datetime:
    return datetime.now(UTC)


def tell(done: int, total: int) -> None:
    assert done <= total


async def proved(
    feed: MemoryFeed, connection: psycopg.Connection, *, full: bool = True, repair: bool = False
) -> Proof:
    return await reconcile_site(feed, Lease(connection), LIMA, full=full, repair=repair, now=clock, tell=tell)


async def every_kind_of_row(feed: MemoryFeed, project: Project) -> None:
    lima = feed["lima"]
    lima.save(a_session("s1"), "1-a")
    lima.save(a_session("long", tasks=[a_task_run(trials=200), a_task_run("x", trials=0)]), "1-a")
    lima.save(a_session("two", visit="a"), "2-a")
    lima.save(a_session("two", visit="b"), "2-b")
    lima.save(a_session("half", status="lost"), "3-x")
    lima.save(a_session("half"), "2-b")
    lima.save(a_session("bad", status="lost"), "1-a")
    lima.save(a_session("deleted"), "1-a")
    await project()
    lima.delete("session:deleted", "2-b", replaces=["1-a"])
    lima.save(a_device(), "1-a")
    lima.save(a_patch("s1", 1, {"status": "abandoned"}, {"status": "completed"}), "1-c")
    await project()


@pytest.mark.parametrize("full", [True, False])
async def test_rows_of_every_kind_fit(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, *, full: bool
) -> None:
    await every_kind_of_row(feed, project)
    assert (await proved(feed, connection)).holds
    proof = await proved(feed, connection, full=full)
    assert proof.examples == {}


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM device_status", {"incomplete": ["device:lima-tab-2"]}),
        ("UPDATE device_status SET rev = '0-x'", {"incomplete": ["device:lima-tab-2"]}),
        (
            "UPDATE device_status SET device = 'other'",
            {"double": ["device:other"], "incomplete": ["device:lima-tab-2"]},
        ),
        (
            "INSERT INTO corrections SELECT site, 'correction:s1:2', session_id, 2, rev, kind, reason,"
            " author, made_at, body FROM corrections",
            {"double": ["correction:s1:2"]},
        ),
        ("DELETE FROM corrections", {"incomplete": ["correction:s1:1"]}),
        ("UPDATE corrections SET rev = '0-x'", {"incomplete": ["correction:s1:1"]}),
        ("UPDATE corrections SET source_missing_at = now()", {"incomplete": ["correction:s1:1"]}),
        ("DELETE FROM conflicts", {"incomplete": ["session:two"]}),
        ("UPDATE conflicts SET state = 'resolved'", {"incomplete": ["session:two"]}),
        (
            "UPDATE conflicts SET session_id = 's1'",
            {"double": ["session:s1"], "incomplete": ["session:two"]},
        ),
        ("UPDATE losing_revisions SET rev = '0-x' WHERE doc_id = 'session:two'", {"double": ["session:two"]}),
        ("UPDATE sessions SET rev = '2-a' WHERE id = 'two'", {"incomplete": ["session:two"]}),
        ("UPDATE sessions SET rev = '1-b' WHERE id = 'half'", {"incomplete": ["session:half"]}),
        ("DELETE FROM quarantine WHERE rev = '3-x'", {"incomplete": ["session:half"]}),
        ("UPDATE sessions SET source_missing_at = NULL", {"double": ["session:deleted"]}),
        (
            "INSERT INTO quality_flags (site, session_id, task, run, code, detail)"
            " VALUES ('lima', 's1', 'none', 1, 'x', '{}')",
            {"double": ["session:s1"]},
        ),
    ],
)
async def test_what_is_lost_or_stale_beside_a_right_record_is_found_and_mended(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    damage: str,
    found: dict[str, list[str]],
) -> None:
    await every_kind_of_row(feed, project)
    await proved(feed, connection)
    connection.execute(damage.encode())
    proof = await proved(feed, connection, full=False)
    assert proof.kind == "incremental"
    assert not proof.holds
    assert proof.examples == found
    await proved(feed, connection, repair=True)
    await project()
    assert (await proved(feed, connection)).holds


def test_tables_without_statistics_are_not_compared_row_by_row(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch)"
        " SELECT 'lima', 'session:' || n, 'session', '1-a', '{1-a}', 'projected', 'e'"
        " FROM generate_series(1, 2000) AS n"
    )
    parameters = {"site": "lima", "limit": 10}
    with connection.transaction():
        connection.execute(row_proof.JOIN_BY_HASH)
        for statement in (row_proof.DOUBLE_WITH_TRIALS, row_proof.INCOMPLETE_WITH_TRIALS, proving.STATES):
            about = {**parameters, "epoch": "e", "rereading": False}
            plan = connection.execute(f"EXPLAIN (COSTS off) {statement}".encode(), about).fetchall()
            assert not [line for (line,) in plan if "Nested Loop" in line]


async def test_a_session_that_is_recorded_as_gone_fits_its_rows(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    await every_kind_of_row(feed, project)
    for name in ("two", "half"):
        feed["lima"].purge(f"session:{name}")
    connection.execute("DELETE FROM documents WHERE doc_id IN ('session:two', 'session:half')")
    await proved(feed, connection, repair=True)
    proof = await proved(feed, connection)
    assert (proof.examples, proof.counts.gone) == ({}, 2)
    recorded = "SELECT leaves FROM documents WHERE source_missing_at IS NOT NULL ORDER BY doc_id DESC LIMIT 1"
    assert rows(connection, recorded) == [(["2-a", "2-b"],)]

"""Corrections on their way into rows: in whatever order they arrive, and whatever becomes of them."""

import itertools
from typing import Any

import psycopg
import pytest

from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from tests.documents.examples import a_patch, a_resolution, a_session, a_task_run, a_trial
from tests.projection.conftest import Project, count, everything, rows, running, session_ids, states
from tests.projection.memory_feed import MemoryFeed

MENDED = a_patch("s1", 1, {"status": "completed"}, {"status": "lost"})


def conflicts(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT path, state, correction FROM conflicts ORDER BY path, other_rev")


def waiting(connection: psycopg.Connection) -> int:
    return count(connection, "replays")


async def test_patch_mends_a_quarantined_session_and_outlives_the_tablets_next_save(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", status="lost"), "1-a")
    await project()
    assert states(connection) == {"session:s1": "quarantined"}
    feed["lima"].save(MENDED, "1-c")
    await project()
    assert states(connection) == {"session:s1": "projected", "correction:s1:1": "projected"}
    feed["lima"].save(a_session("s1", status="lost", tasks=[]), "2-a", replaces=["1-a"])
    await project()
    assert rows(connection, "SELECT rev, status FROM sessions") == [("2-a", "completed")]
    assert (conflicts(connection), count(connection, "quarantine")) == ([], 0)
    feed["lima"].save(a_session("s1", status="in_progress"), "3-a", replaces=["2-a"])
    await project()
    assert rows(connection, "SELECT rev, status FROM sessions") == [("3-a", "completed")]
    assert conflicts(connection) == [("$.status", "outdated", "correction:s1:1")]
    assert states(connection)["session:s1"] == "conflicted"
    assert rows(connection, "SELECT winner_value, other_rev, other_value FROM conflicts") == [
        ("completed", "correction:s1:1", "in_progress")
    ]


@pytest.mark.parametrize(
    ("order", "in_one_page"),
    [
        *((order, False) for order in itertools.permutations(range(4))),
        *((order, True) for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1))),
    ],
)
async def test_rows_are_the_same_in_whatever_order_documents_arrive(
    feed: MemoryFeed,
    connection: psycopg.Connection,
    database_url: str,
    order: tuple[int, ...],
    in_one_page: bool,
) -> None:
    arriving = [
        (a_session("s1", status="lost", visit="a"), "2-a"),
        (a_session("s1", visit="b"), "2-b"),
        (MENDED, "1-c"),
        (a_resolution("s1", 2, {"path": "$.visit", "value": "a", "base": ["a", "b"]}), "1-d"),
    ]
    for at in order:
        feed["lima"].save(*arriving[at])
        if not in_one_page:
            await Pump(feed, database_url, limits=Limits(changes=1)).drain()
    await Pump(feed, database_url).drain()
    # Session `2-b` is completed anyway, so that the patch finds nothing to be outdated by.
    assert rows(connection, "SELECT rev, visit, status FROM sessions") == [("2-b", "a", "completed")]
    assert conflicts(connection) == [("$.visit", "resolved", "correction:s1:2")]
    assert states(connection)["session:s1"] == "projected"
    assert waiting(connection) == 0
    assert rows(connection, "SELECT doc_id, session_id, number, rev, kind FROM corrections ORDER BY 1") == [
        ("correction:s1:1", "s1", 1, "1-c", "patch"),
        ("correction:s1:2", "s1", 2, "1-d", "resolution"),
    ]
    assert rows(connection, "SELECT code, detail FROM quality_flags WHERE code = 'merged'") == [
        ("merged", {"revisions": ["2-b", "2-a"]})
    ]


async def test_correction_that_changes_is_quarantined_or_deleted_no_longer_applies(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    def status() -> list[tuple[Any, ...]]:
        return rows(connection, "SELECT status FROM sessions")

    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_patch("s1", 1, {"status": "abandoned"}, {"status": "completed"}), "1-c")
    await project()
    assert status() == [("abandoned",)]
    feed["lima"].save(
        a_patch("s1", 1, {"status": "in_progress"}, {"status": "completed"}), "2-c", replaces=["1-c"]
    )
    await project()
    assert status() == [("in_progress",)]
    feed["lima"].save({**MENDED, "kind": "withdrawal"}, "3-c", replaces=["2-c"])
    await project()
    assert status() == [("completed",)]
    assert states(connection)["correction:s1:1"] == "quarantined"
    assert count(connection, "corrections") == 0
    feed["lima"].save(a_patch("s1", 1, {"visit": "x"}, {"visit": "baseline"}), "4-c", replaces=["3-c"])
    await project()
    feed["lima"].delete("correction:s1:1", "5-c", replaces=["4-c"])
    await project()
    assert rows(connection, "SELECT visit FROM sessions") == [("baseline",)]
    assert rows(connection, "SELECT rev, source_missing_at IS NULL FROM corrections") == [("4-c", False)]
    assert waiting(connection) == 0


async def test_correction_that_is_gone_from_the_site_database_stops_and_one_found_again_applies(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    def visit() -> list[tuple[Any, ...]]:
        return rows(connection, "SELECT visit FROM sessions")

    patch = a_patch("s1", 1, {"visit": "x"}, {"visit": "baseline"})
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(patch, "1-c")
    await project()
    feed["lima"].purge("correction:s1:1")
    feed["lima"].mark = None
    await project()
    assert visit() == [("baseline",)]
    feed["lima"].save(patch, "1-c")
    await project()
    assert visit() == [("x",)]
    assert waiting(connection) == 0


async def test_rereading_a_site_with_corrections_writes_nothing_again(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(MENDED, "1-c")
    feed["lima"].save(a_session("s1", status="lost"), "1-a")
    await project()
    before = everything(connection)
    feed["lima"].mark = None
    await project()
    after = everything(connection)
    assert after["sessions"] == before["sessions"]
    assert after["corrections"] == before["corrections"]


async def test_content_of_every_live_leaf_that_is_not_the_winner_is_kept_and_goes_with_it(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    def losing() -> list[tuple[Any, ...]]:
        query = "SELECT rev, winner_rev, body ->> 'visit' FROM losing_revisions ORDER BY rev"
        return rows(connection, query)

    feed["lima"].save(a_session("s1", visit="a\0"), "1-a")
    feed["lima"].save(a_session("s1", visit="b", status="lost"), "1-b")
    feed["lima"].save(b'{"_id": "session:s1", "visit": "\\ud800"}', "1-c", doc_id="session:s1")
    feed["lima"].save(a_session("s1", visit="d"), "1-d")
    feed["lima"].delete("session:s1", "2-e", replaces=[])
    await project()
    assert losing() == [("1-a", "1-d", "a\ufffd"), ("1-b", "1-d", "b"), ("1-c", "1-d", None)]
    feed["lima"].delete("session:s1", "2-d", replaces=["1-d"])
    await project()
    assert losing() == [("1-a", "1-c", "a\ufffd"), ("1-b", "1-c", "b")]
    for rev in ("1-a", "1-b", "1-c"):
        feed["lima"].delete("session:s1", f"2-{rev[-1]}", replaces=[rev])
    await project()
    assert losing() == []


async def test_audit_entry_of_a_correction_is_written_once_for_each_revision(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    query = "SELECT actor, action, entity_id, source, before, after, reason FROM audit_log ORDER BY id"
    feed["lima"].save(MENDED, "1-c")
    await project()
    expected = (
        "c@clinic.example",
        "quarantine.patch",
        "session:s1",
        "lima/correction:s1:1@1-c",
        {"status": "lost"},
        {"status": "completed"},
        "seen on the paper form",
    )
    assert rows(connection, query) == [expected]
    for table in ("documents", "corrections", "checkpoints"):
        connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 (our own tables)
    await project()
    assert rows(connection, query) == [expected]
    feed["lima"].save({**MENDED, "reason": "again"}, "2-c", replaces=["1-c"])
    await project()
    assert [row[3] for row in rows(connection, query)][1:] == ["lima/correction:s1:1@2-c"]
    # Of which study it is, the session's rows say, once there are some.
    feed["lima"].save(a_session("s1", status="lost"), "1-a")
    await project()
    feed["lima"].save({**MENDED, "reason": "once more"}, "3-c", replaces=["2-c"])
    await project()
    studies = [row[0] for row in rows(connection, "SELECT study FROM audit_log ORDER BY id")]
    assert studies[:2] == [None, None]
    assert studies[2:] == [row[0] for row in rows(connection, "SELECT study FROM sessions")]


async def test_poison_among_corrections_stops_neither_them_nor_their_session(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", status="lost"), "1-a")
    poisons: list[dict[str, Any]] = [
        {"patch": {"visit": "v" * 7_000_000}},
        {"base": {"\0": ["\0"]}},
        {"reason": "\0" * 1000},
        {"patch": {"device": {"x" * 5000: {"y" * 5000: "\0"}}}},
        {"patch": {"tasks": "none"}},
        {"author": "x" * 5000},
    ]
    for number, poison in enumerate(poisons, start=2):
        feed["lima"].save({**MENDED, "_id": f"correction:s1:{number}", **poison}, f"1-{number}")
    feed["lima"].save(b"\xff", "1-x", doc_id="correction:s1:99")
    feed["lima"].save(b"{}", "1-x", doc_id="correction:" + "y" * 3000 + ":1")
    feed["lima"].save(a_session("after"), "1-a")
    await project()
    assert session_ids(connection) == {"after"}
    feed["lima"].save(a_patch("s1", 100, {"tasks": [], "status": "completed"}, {"tasks": None}), "1-c")
    await project()
    assert session_ids(connection) == {"after", "s1"}
    assert waiting(connection) == 0


async def test_patch_is_applied_to_every_leaf_and_its_path_is_listed_once(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", status="lost", tasks=[a_task_run("simon")]), "1-a")
    feed["lima"].save(a_session("s1", status="gone", tasks=[a_task_run("stroop")]), "1-b")
    feed["lima"].save(a_session("s1", status="away", tasks=[]), "1-c")
    feed["lima"].save(MENDED, "1-d")
    await project()
    assert rows(connection, "SELECT task FROM task_runs ORDER BY 1") == [("simon",), ("stroop",)]
    assert rows(connection, "SELECT path, winner_rev, other_value FROM conflicts") == [
        ("$.status", "1-c", "away")
    ]


async def test_running_projector_applies_a_correction_by_itself(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str, logged: Any
) -> None:
    session = a_session("s1", tasks=[{**a_task_run(), "trials": [a_trial(1, rt="fast")]}])
    feed["lima"].save(session, "1-a")
    async with running(Pump(feed, database_url, poll_seconds=0.05)):
        await logged.wait_for(event="document quarantined", id="session:s1")
        mended = [{**a_task_run(), "trials": [a_trial(1)]}]
        feed["lima"].save(a_patch("s1", 1, {"tasks": mended}, {"tasks": session["tasks"]}), "1-c")
        await logged.wait_for(event="document projected", id="session:s1", state="projected")
    assert conflicts(connection) == []

"""A tablet's own status becomes its row of `device_status`."""

import psycopg

from tests.documents.examples import a_device
from tests.projection.conftest import Project, rows, states
from tests.projection.memory_feed import MemoryFeed

TOLD = {
    "app": "1.4.0",
    "os": "Android 14",
    "free_bytes": 12_000_000_000,
    "battery_level": 0.87,
    "outstanding": 3,
    "clock_at": "2026-03-01T08:00:00+01:00",
}


def devices(connection: psycopg.Connection, columns: str) -> list[tuple[object, ...]]:
    return rows(connection, f"SELECT device, {columns} FROM device_status ORDER BY device")  # noqa: S608


async def test_status_is_a_row_with_the_time_of_its_receipt(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    connection.execute(
        "INSERT INTO ingest_log"
        " (site, doc_id, rev, outcome, device, role, credential, request_id, received_at)"
        " VALUES ('lima', 'device:t1', '1-a', 'received', 't1', 'tablet', 'c', 'r', '2026-03-01T07:00:05Z')"
    )
    feed["lima"].save(a_device("t1", **TOLD), "1-a")
    feed["lima"].save(a_device("t2"), "1-b")
    await project()
    assert devices(
        connection, "rev, app_version, os, free_bytes, battery_level, outstanding, clock_at::text"
    ) == [
        ("t1", "1-a", "1.4.0", "Android 14", 12_000_000_000, 0.87, 3, "2026-03-01 07:00:00+00"),
        ("t2", "1-b", "1.0.0", None, None, None, None, None),
    ]
    assert devices(connection, "received_at::text") == [("t1", "2026-03-01 07:00:05+00"), ("t2", None)]


async def test_next_status_replaces_the_one_before(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_device("t1", **TOLD), "1-a")
    await project()
    feed["lima"].save(a_device("t1", outstanding=0), "2-a", replaces=["1-a"])
    await project()
    assert devices(connection, "rev, outstanding, os") == [("t1", "2-a", 0, None)]


async def test_of_two_leaves_the_winner_is_shown(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_device("t1", outstanding=1), "2-a")
    feed["lima"].save(a_device("t1", outstanding=2), "2-b")
    feed["lima"].save(a_device("t1", outstanding="many"), "3-a")
    await project()
    assert devices(connection, "rev, outstanding") == [("t1", "2-b", 2)]
    assert rows(connection, "SELECT rev, code, path FROM quarantine") == [
        ("3-a", "wrong_type", "$.outstanding")
    ]


async def test_status_that_is_not_valid_leaves_no_older_one_to_be_believed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_device("t1", outstanding=1), "1-a")
    await project()
    feed["lima"].save(a_device("t1", battery_level=87), "2-a", replaces=["1-a"])
    await project()
    assert devices(connection, "rev") == []
    assert states(connection) == {"device:t1": "quarantined"}


async def test_deleted_or_vanished_status_stays_marked_until_it_is_back(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_device("deleted"), "1-a")
    feed["lima"].save(a_device("vanished"), "1-a")
    await project()
    assert devices(connection, "source_missing_at") == [("deleted", None), ("vanished", None)]
    feed["lima"].delete("device:deleted", "2-a", replaces=["1-a"])
    await project()
    feed.recreate("lima")
    await project()
    assert devices(connection, "source_missing_at IS NULL") == [("deleted", False), ("vanished", False)]
    feed["lima"].save(a_device("vanished"), "1-a")
    await project()
    assert devices(connection, "source_missing_at IS NULL") == [("deleted", False), ("vanished", True)]


async def test_text_with_nul_is_shown_without(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_device("t\x00", app="1\x000"), "1-a")
    await project()
    ((device, app),) = devices(connection, "app_version")
    assert str(device).startswith("t\ufffd")
    assert app == "1\ufffd0"

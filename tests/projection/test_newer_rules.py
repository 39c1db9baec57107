"""A document of a schema that this server does not know yet, before and after an update."""

from typing import Any

import psycopg
import pytest

from reporting.documents.upcast import Contract, Document
from reporting.projection.pump import Pump
from reporting.projection.rules import replay_judged_by_older_rules, replay_stored_without_rows
from tests.documents.examples import a_consent, a_session
from tests.projection.conftest import LogEntries, everything, rows, running, states
from tests.projection.memory_feed import MemoryFeed


def subject_is_participant(document: Document) -> Document:
    return {**document, "participant": document.get("subject", document.get("participant"))}


OLD = Contract(1, {}, rules_version=1)
NEW = Contract(2, {("session", 1): subject_is_participant}, rules_version=2)
NEWER = Contract(2, NEW.steps, rules_version=3)


@pytest.fixture
def documents(feed: MemoryFeed) -> None:
    """One of the old schema, one of the new, one of a schema from further away, one that is wrong."""
    feed["lima"].save(a_session("old"), "1-a")
    feed["lima"].save(a_session("new", schema=2), "1-b")
    feed["lima"].save(a_session("far", schema=9), "1-c")
    feed["lima"].save(a_session("wrong", status="lost"), "1-d")
    feed["nairobi"].save(a_session("new", schema=2, site="nairobi"), "1-e")


def judged_by(connection: psycopg.Connection) -> dict[str, int]:
    found = rows(connection, "SELECT site || ' ' || doc_id, rules_version FROM quarantine")
    return {key.replace("session:", ""): version for key, version in found}


def asked(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT site, doc_id, cause, requested_by FROM replays ORDER BY 1, 2")


@pytest.mark.usefixtures("documents")
async def test_newer_schema_is_projected_by_itself_after_the_update(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    async with running(Pump(feed, database_url, contract=OLD)):
        await logged.wait_for(2, event="batch committed")
    assert judged_by(connection) == {"lima new": 1, "lima far": 1, "lima wrong": 1, "nairobi new": 1}
    async with running(Pump(feed, database_url, contract=NEW)):
        await logged.wait_for(2, event="document projected", id="session:new")
    assert states(connection)["session:new"] == "projected"
    assert states(connection, "nairobi")["session:new"] == "projected"
    assert rows(connection, "SELECT id, schema FROM sessions ORDER BY site, id") == [
        ("new", 2),
        ("old", 1),
        ("new", 2),
    ]
    assert judged_by(connection) == {"lima far": 2, "lima wrong": 2}


@pytest.mark.usefixtures("documents")
async def test_what_newer_rules_still_quarantine_is_not_asked_for_again(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, logged: LogEntries
) -> None:
    await Pump(feed, database_url, contract=OLD).drain()
    await Pump(feed, database_url, contract=NEW).drain()
    assert asked(connection) == []
    logged.clear()
    before = everything(connection)
    await Pump(feed, database_url, contract=NEW).drain()
    assert logged.having(event="judging again what older rules quarantined") == []
    assert everything(connection) == before
    await Pump(feed, database_url, contract=NEWER).drain()
    assert judged_by(connection) == {"lima far": 3, "lima wrong": 3}


@pytest.mark.usefixtures("documents")
async def test_projector_that_dies_after_asking_loses_nothing(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    await Pump(feed, database_url, contract=OLD).drain()
    assert replay_judged_by_older_rules(connection, 2) == 4
    assert len(asked(connection)) == 4
    assert {row[2:] for row in asked(connection)} == {("rules", "projector")}
    assert replay_judged_by_older_rules(connection, 2) == 0
    await Pump(feed, database_url, contract=NEW).drain()
    assert asked(connection) == []
    assert states(connection)["session:new"] == "projected"


@pytest.mark.usefixtures("documents")
async def test_projector_that_dies_while_asking_has_asked_for_nothing(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    await Pump(feed, database_url, contract=OLD).drain()

    class Killed(Exception):
        pass

    def asks_and_dies() -> None:
        with connection.transaction():
            replay_judged_by_older_rules(connection, 2)
            raise Killed

    with pytest.raises(Killed):
        asks_and_dies()
    assert asked(connection) == []
    assert set(judged_by(connection).values()) == {1}
    await Pump(feed, database_url, contract=NEW).drain()
    assert states(connection)["session:new"] == "projected"


@pytest.mark.usefixtures("documents")
async def test_projector_of_the_old_version_that_is_faster_changes_nothing_in_the_end(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    await Pump(feed, database_url, contract=OLD).drain()
    replay_judged_by_older_rules(connection, 2)
    await Pump(feed, database_url, contract=OLD).drain()
    assert set(judged_by(connection).values()) == {1}
    await Pump(feed, database_url, contract=NEW).drain()
    assert states(connection)["session:new"] == "projected"


@pytest.mark.usefixtures("documents")
async def test_entry_of_a_document_that_is_gone_is_asked_for_once(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    await Pump(feed, database_url, contract=OLD).drain()
    feed["lima"].purge("session:new")
    await Pump(feed, database_url, contract=NEW).drain()
    assert asked(connection) == []
    assert replay_judged_by_older_rules(connection, 2) == 0


@pytest.mark.usefixtures("documents")
async def test_rows_after_an_update_are_those_of_a_fresh_projection(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    await Pump(feed, database_url, contract=OLD).drain()
    await Pump(feed, database_url, contract=NEW).drain()
    found = comparable(connection)
    for table in (*(found.keys() - {"trials"}), "trial_rows", "trial_extras", "documents", "checkpoints"):
        connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 (our own tables)
    feed["lima"].mark = feed["nairobi"].mark = None
    await Pump(feed, database_url, contract=NEW).drain()
    assert comparable(connection) == found
    assert len(found["sessions"]) == 3


def comparable(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Without what says when a row was written."""
    return {
        "sessions": rows(connection, "SELECT site, id, participant, rev, schema FROM sessions ORDER BY 1, 2"),
        "trials": rows(connection, "SELECT site, session_id, trials::text FROM trials ORDER BY 3"),
        "scores": rows(connection, "SELECT site, session_id, scores::text FROM scores ORDER BY 3"),
        "quality_flags": rows(
            connection, "SELECT site, session_id, quality_flags::text FROM quality_flags ORDER BY 3"
        ),
        "quarantine": rows(
            connection, "SELECT site, doc_id, rev, code, message, rules_version FROM quarantine ORDER BY 1, 2"
        ),
    }


async def test_consents_that_were_stored_before_they_had_rows_get_them_and_are_no_news(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_consent("c1", study="SRO"), "1-a")
    feed["lima"].save({"_id": "other:x"}, "1-b")
    await Pump(feed, database_url).drain()
    # As a projector of a version that did not know consents leaves them.
    connection.execute("DELETE FROM consents")
    connection.execute("DELETE FROM outbox")
    connection.execute("UPDATE documents SET state = 'stored'")
    await Pump(feed, database_url).drain()
    assert rows(connection, "SELECT id FROM consents") == [("c1",)]
    assert states(connection) == {"consent:c1": "projected", "other:x": "stored"}
    assert asked(connection) == []
    assert rows(connection, "SELECT key FROM outbox WHERE kind = 'event'") == []
    assert replay_stored_without_rows(connection) == 0

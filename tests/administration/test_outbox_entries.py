"""Entries of the outbox: once, or again."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from reporting.compiled import execute_in
from reporting.engine import async_engine
from reporting.outbox.entry import Entry, enter_again, enter_once
from reporting.participants.consequences import participants_changed
from reporting.publication.requests import participant_document, publish_documents


def rows(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM outbox ORDER BY kind, key").fetchall()


def test_an_event_told_twice_is_one_row_and_a_state_asked_for_again_is_due_again(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        event = Entry(kind="event", key="session.completed:lima/s1", payload={"id": "s1"}, site="lima")
        execute_in(connection, enter_once([event, event]))
        execute_in(connection, enter_once([event]))
        connection.execute("UPDATE outbox SET state = 'done'")
        execute_in(connection, enter_once([event]))
        assert [(row["state"], row["payload"], row["ticket"]) for row in rows(connection)] == [
            ("done", {"id": "s1"}, 1)
        ]
        wanted = Entry(kind="publication", key="lima/study:SRO", payload={"doc_id": "study:SRO"})
        execute_in(connection, enter_again([wanted, wanted]))
        connection.execute(
            "UPDATE outbox SET state = 'dead', attempts = 9, error = 'x' WHERE kind <> 'event'"
        )
        execute_in(connection, enter_again([wanted]))
        state = rows(connection)[1]
        assert (state["state"], state["attempts"], state["error"], state["ticket"]) == ("pending", 0, None, 2)
        assert len(bytes(state["payload_sha256"])) == 32


def test_events_are_inserted_in_one_order_whatever_the_order_they_are_told_in() -> None:
    entries = [Entry(kind="event", key=key) for key in ("b", "a", "c")]
    assert ["a", "b", "c"] in enter_once(entries).compile().params.values()


def test_more_entries_than_a_statement_has_parameters_are_entered_at_once(database_url: str) -> None:
    later = datetime(2100, 1, 1, tzinfo=UTC)
    entries = [Entry(kind="event", key=str(n), payload={"n": n}, not_before=later) for n in range(12_000)]
    with psycopg.connect(database_url) as connection:
        execute_in(connection, enter_once(entries))
        execute_in(connection, enter_again(entries))
        found = connection.execute(
            "SELECT count(*), sum((payload ->> 'n')::integer), min(next_attempt_at), min(ticket), max(site)"
            " FROM outbox"
        ).fetchall()
    assert found == [(12_000, sum(range(12_000)), later, 2, None)]


async def test_many_participants_of_two_sites_are_asked_for_in_the_order_of_keys(database_url: str) -> None:
    codes = [f"p{number:03}" for number in range(600)]
    engine = async_engine(database_url)
    with (
        psycopg.connect(database_url) as other,
        psycopg.connect(database_url, autocommit=True) as watching,
    ):
        watching.execute(
            "INSERT INTO participants (study, code, site) SELECT 'SRO', code,"
            " CASE mod(ordinality, 2) WHEN 0 THEN 'lima' ELSE 'quito' END"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS given (code, ordinality)",
            (codes,),
        )
        execute_in(other, publish_documents([("lima", participant_document("SRO", "p599"))]))

        async def change() -> None:
            async with engine.begin() as connection:
                await participants_changed(connection, "SRO", codes)

        changing = asyncio.create_task(change())
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(30):
            while watching.execute(waiting).fetchall() == [(0,)]:  # noqa: ASYNC110 (Postgres tells nobody)
                await asyncio.sleep(0.01)
        # It goes on in the order of keys: were one of quito's taken already, this would be a deadlock.
        await asyncio.to_thread(
            execute_in, other, publish_documents([("quito", participant_document("SRO", "p000"))])
        )
        other.commit()
        await changing
        assert watching.execute("SELECT count(*) FROM outbox").fetchall() == [(600,)]
    await engine.dispose()

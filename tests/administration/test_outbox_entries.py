"""Entries of the outbox: once, or again."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from reporting.outbox.entry import Entry, enter_again, enter_once, execute_in


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

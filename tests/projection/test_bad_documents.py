"""Each line of "What happens to bad documents" that concerns stored documents: the outcome is as stated, and
the documents after it are projected.
"""

from typing import Any

import psycopg
import pytest

from reporting.documents.text import key_text
from tests.documents.examples import a_consent, a_device, a_session, a_task_run, a_trial, encode, nested
from tests.projection.conftest import Project, count, rows, session_ids, states
from tests.projection.memory_feed import MemoryFeed


def quarantined(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT doc_id, rev, type, code, path FROM quarantine ORDER BY doc_id, rev")


def flags(connection: psycopg.Connection, session_id: str) -> set[str]:
    found = rows(connection, "SELECT code FROM quality_flags WHERE session_id = %(id)s", id=session_id)
    return {code for (code,) in found if not code.startswith("unknown_")}


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        (a_session("bad", tasks="none"), "wrong_type", "$.tasks"),
        (a_session("bad", schema=2), "unknown_schema", "$.schema"),
        (a_session("bad", site="nairobi"), "wrong_site", "$.site"),
        (
            a_session("bad", tasks=[{**a_task_run(), "trials": [a_trial(1), a_trial(4), a_trial(4)]}]),
            "duplicate_trial_index",
            "$.tasks[0].trials[2].trial_index",
        ),
        (a_session("bad", ended_at="2016-07-21T03:01:35Z"), "times_out_of_order", "$.ended_at"),
        (a_session("bad", type="memo"), "type_mismatch", "$.type"),
    ],
)
async def test_wrong_document_is_quarantined_and_the_next_one_projected(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    *,
    document: dict[str, Any],
    code: str,
    path: str,
) -> None:
    feed["lima"].save(a_session("before"), "1-a")
    feed["lima"].save(document, "1-b")
    feed["lima"].save(a_session("after"), "1-c")
    await project()
    assert session_ids(connection) == {"before", "after"}
    assert quarantined(connection) == [("session:bad", "1-b", "session", code, path)]
    assert states(connection) == {
        "session:before": "projected",
        "session:bad": "quarantined",
        "session:after": "projected",
    }
    assert count(connection, "trials") == 8


@pytest.mark.parametrize("member", [b'"\\ud800"', b"1e400"])
async def test_document_that_another_server_stored_and_we_cannot_read_is_quarantined(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, member: bytes
) -> None:
    body = encode(a_session("bad")).replace(b'"baseline"', member)
    feed["lima"].save(body, "1-a", doc_id="session:bad")
    feed["lima"].save(a_session("after"), "1-b")
    await project()
    assert quarantined(connection) == [("session:bad", "1-a", "session", "not_json", "$")]
    assert session_ids(connection) == {"after"}


async def test_nul_is_projected_as_replacement_character_and_flagged(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    trials = [a_trial(1, **{"no\0te": "a\0b"}, condition="\0")]
    session_id = key_text("session:n\0ul").removeprefix("session:")
    feed["lima"].save(
        a_session("n\0ul", visit="base\0line", tasks=[{**a_task_run("sim\0on"), "trials": trials}]), "1-a"
    )
    feed["lima"].save(a_session("after"), "1-b")
    await project()
    assert session_ids(connection) == {session_id, "after"}
    assert states(connection)[f"session:{session_id}"] == "projected"
    assert flags(connection, session_id) == {"nul_replaced"}
    assert flags(connection, "after") == set()
    found = rows(
        connection,
        "SELECT task, condition, extra->>%(key)s FROM trials WHERE session_id = %(id)s",
        key="no\ufffdte",
        id=session_id,
    )
    assert found == [("sim\ufffdon", "\ufffd", "a\ufffdb")]


async def test_document_that_the_gateway_normalised_is_flagged(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    connection.execute(
        "INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id, reason,"
        " original)"
        " VALUES ('lima', 'session:s1', '1-a', 'received', 't', 'tablet', 'c', 'r', 'a lone surrogate', '{')"
    )
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    assert flags(connection, "s1") == {"normalised"}
    assert rows(connection, "SELECT received_at IS NOT NULL FROM sessions") == [(True,)]


async def test_session_at_the_nesting_limit_is_projected(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    deepest = nested(495)
    feed["lima"].save(a_session(tasks=[{**a_task_run(), "trials": [a_trial(1, stimulus=deepest)]}]), "1-a")
    await project()
    assert rows(connection, "SELECT extra->'stimulus' FROM trials") == [(deepest,)]


async def test_unknown_references_are_projected_with_flags_and_resolve_when_they_appear(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_session("s2", study="OTHER", battery=None), "1-b")
    await project()
    unresolved = "SELECT session_id, code, detail FROM quality_flags ORDER BY session_id, code"
    assert rows(connection, unresolved) == [
        ("s1", "unknown_battery", {"id": "self-regulation", "version": 1}),
        ("s1", "unknown_participant", {"study": "SRO", "participant": "s012"}),
        ("s1", "unknown_study", {"study": "SRO"}),
        ("s2", "unknown_participant", {"study": "OTHER", "participant": "s012"}),
        ("s2", "unknown_study", {"study": "OTHER"}),
    ]
    connection.execute("INSERT INTO studies (code) VALUES ('SRO')")
    connection.execute("INSERT INTO participants (study, code) VALUES ('SRO', 's012')")
    connection.execute("INSERT INTO batteries (id, version) VALUES ('self-regulation', 1), ('other', 1)")
    await project()
    assert [row[0] for row in rows(connection, unresolved)] == ["s2", "s2"]


async def test_known_references_are_not_flagged(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    connection.execute("INSERT INTO studies (code) VALUES ('SRO')")
    connection.execute("INSERT INTO participants (study, code) VALUES ('SRO', 's012')")
    connection.execute("INSERT INTO batteries (id, version) VALUES ('self-regulation', 1)")
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    assert count(connection, "quality_flags") == 0


async def test_conflict_is_projected_as_the_union_and_a_contradiction_listed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    ours = [{**a_task_run("simon"), "trials": [a_trial(1, rt=500), a_trial(2)]}]
    theirs = [{**a_task_run("simon"), "trials": [a_trial(1, rt=600), a_trial(3)]}, a_task_run("stroop")]
    feed["lima"].save(a_session("s1", tasks=ours), "2-b")
    feed["lima"].save(a_session("s1", tasks=theirs), "2-a")
    feed["lima"].save(a_session("after"), "1-c")
    await project()
    assert states(connection) == {"session:s1": "conflicted", "session:after": "projected"}
    of_simon = "SELECT trial_index, rt_ms FROM trials WHERE session_id = 's1' AND task = 'simon' ORDER BY 1"
    assert rows(connection, of_simon) == [(1, 500.0), (2, 402.0), (3, 403.0)]
    assert rows(connection, "SELECT task, n_trials FROM task_runs WHERE session_id = 's1' ORDER BY 1") == [
        ("simon", 3),
        ("stroop", 4),
    ]
    assert rows(connection, "SELECT * FROM conflicts") == [
        ("lima", "s1", "$.tasks[simon,1].trials[1]", "2-b", {"rt": 500}, "2-a", {"rt": 600}, "open", None)
    ]
    assert rows(connection, "SELECT rev FROM sessions WHERE id = 's1'") == [("2-b",)]


async def test_resolved_conflict_leaves_no_trace(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", visit="baseline"), "2-b")
    feed["lima"].save(a_session("s1", visit="retest"), "2-a")
    await project()
    assert count(connection, "conflicts") == 1
    feed["lima"].delete("session:s1", "3-a", replaces=["2-a"])
    await project()
    assert count(connection, "conflicts") == 0
    assert states(connection) == {"session:s1": "projected"}
    # The deletion is the higher revision, but a live leaf wins.
    assert rows(connection, "SELECT winner_rev, leaves FROM documents") == [("2-b", ["2-b", "3-a"])]


async def test_invalid_loser_is_quarantined_for_its_revision_and_the_valid_leaf_projected(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "2-b")
    feed["lima"].save(a_session("s1", status="lost"), "2-a")
    await project()
    assert states(connection) == {"session:s1": "projected"}
    assert quarantined(connection) == [("session:s1", "2-a", "session", "unknown_value", "$.status")]
    assert rows(connection, "SELECT rev, status FROM sessions") == [("2-b", "completed")]


async def test_invalid_winner_leaves_the_session_to_the_valid_loser(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", status="lost"), "2-b")
    feed["lima"].save(a_session("s1"), "2-a")
    await project()
    assert rows(connection, "SELECT rev FROM sessions") == [("2-a",)]
    assert rows(connection, "SELECT winner_rev, leaves FROM documents") == [("2-b", ["2-a", "2-b"])]


async def test_session_that_becomes_invalid_loses_its_rows_and_gets_them_back_when_corrected(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    feed["lima"].save(a_session("s1", status="lost"), "2-a", replaces=["1-a"])
    await project()
    assert session_ids(connection) == set()
    assert [count(connection, table) for table in ("trials", "task_runs", "scores", "quality_flags")] == [
        0
    ] * 4
    assert quarantined(connection) == [("session:s1", "2-a", "session", "unknown_value", "$.status")]
    feed["lima"].save(a_session("s1"), "3-a", replaces=["2-a"])
    await project()
    assert session_ids(connection) == {"s1"}
    assert quarantined(connection) == []


async def test_deleted_document_keeps_its_rows_marked(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["lima"].save(a_session("s2"), "1-b")
    await project()
    feed["lima"].delete("session:s1", "2-a", replaces=["1-a"])
    await project()
    marked = "SELECT id, source_missing_at IS NOT NULL FROM sessions ORDER BY id"
    assert rows(connection, marked) == [("s1", True), ("s2", False)]
    assert states(connection) == {"session:s1": "deleted", "session:s2": "projected"}
    assert count(connection, "trials") == 8
    feed["lima"].save(a_session("s1"), "3-a", replaces=["2-a"])
    await project()
    assert rows(connection, marked) == [("s1", False), ("s2", False)]


async def test_deletion_of_a_quarantined_document_empties_the_quarantine(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", status="lost"), "1-a")
    await project()
    feed["lima"].delete("session:s1", "2-a", replaces=["1-a"])
    await project()
    assert quarantined(connection) == []
    assert states(connection) == {"session:s1": "deleted"}


async def test_deleted_consent_does_not_touch_a_session_with_a_similar_name(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("consent:c1"), "1-a")
    feed["lima"].save(a_consent("c1"), "1-a")
    await project()
    feed["lima"].delete("consent:c1", "2-a", replaces=["1-a"])
    await project()
    assert states(connection) == {"session:consent:c1": "projected", "consent:c1": "deleted"}
    assert rows(connection, "SELECT id, source_missing_at FROM sessions") == [("consent:c1", None)]


async def test_documents_without_rows_are_noted_by_what_they_are(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_consent(), "1-a")
    feed["lima"].save(a_device(), "1-a")
    feed["lima"].save(a_consent("c2", signed_at="yesterday"), "1-a")
    feed["lima"].save({"_id": "study:SRO@1", "type": "study", "schema": 1}, "1-a")
    feed["lima"].save({"_id": "_design/access"}, "1-a")
    feed["lima"].save({"_id": "memo"}, "1-a")
    await project()
    assert states(connection) == {
        "consent:c1": "projected",
        "device:lima-tab-2": "projected",
        "consent:c2": "quarantined",
        "study:SRO@1": "stored",
        "_design/access": "stored",
        "memo": "stored",
    }
    assert quarantined(connection) == [("consent:c2", "1-a", "consent", "bad_time", "$.signed_at")]
    types = dict(rows(connection, "SELECT doc_id, type FROM documents"))
    assert (types["consent:c1"], types["memo"]) == ("consent", None)


async def test_document_id_longer_than_an_index_entry_is_projected_under_a_shorter_key(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("x" * 9000), "1-a")
    feed["lima"].save(a_session("after"), "1-b")
    await project()
    assert len(session_ids(connection)) == 2
    assert all(len(doc_id) <= 160 for doc_id in states(connection))


async def test_time_with_an_offset_that_only_rfc_3339_allows_is_projected_in_utc(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", started_at="2016-07-22T23:59:00+23:59", ended_at=None), "1-a")
    await project()
    assert rows(connection, "SELECT started_at::text FROM sessions") == [("2016-07-22 00:00:00+00",)]
    assert quarantined(connection) == []

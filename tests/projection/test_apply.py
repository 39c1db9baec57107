"""One batch, one transaction: what is replaced, what stays as it was, and what aborts."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from replication.values import Leaf
from reporting.engine import connect
from reporting.errors import StaleBatch
from reporting.projection.apply import apply_batch, recorded_documents
from reporting.projection.batch import Batch, Checkpoint, FedDocument, State, spell_revs
from reporting.projection.checkpoint import load_checkpoint, start_epoch
from reporting.projection.feed import SiteDatabase
from tests.documents.examples import a_session, a_task_run, a_trial, encode
from tests.projection.conftest import Project, count, everything, rows, session_ids, states
from tests.projection.memory_feed import MemoryFeed

LIMA = SiteDatabase("lima", "site-lima")


@pytest.fixture
def checkpoint(connection: psycopg.Connection) -> Checkpoint:
    """The start of site lima's first reading."""
    return start_epoch(connection, LIMA, None, "epoch-1")


@pytest.fixture
def owner(owner_database_url: str) -> Iterator[psycopg.Connection]:
    """Who may change the schema."""
    with connect(owner_database_url) as connection:
        yield connection


def fed(*documents: dict[str, Any], rev: str = "1-a") -> tuple[FedDocument, ...]:
    return tuple(
        FedDocument(
            document["_id"],
            spell_revs([rev]),
            (Leaf(id=document["_id"], rev=rev, deleted=False, body=encode(document)),),
        )
        for document in documents
    )


def a_batch(checkpoint: Checkpoint, *documents: FedDocument, since: str = "7", at_end: bool = True) -> Batch:
    return Batch(checkpoint, since, 0 if at_end else 5, at_end, documents)


def test_batch_moves_the_checkpoint_with_its_rows(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    applied = apply_batch(connection, a_batch(checkpoint, *fed(a_session()), at_end=False))
    assert applied.checkpoint == Checkpoint("lima", "site-lima", "epoch-1", 1, "7", rereading=True)
    assert load_checkpoint(connection, "lima") == applied.checkpoint
    assert rows(connection, "SELECT pending FROM checkpoints") == [(5,)]
    assert [(each.id, each.rev, each.state) for each in applied.outcomes] == [
        ("session:s1", "1-a", State.PROJECTED)
    ]
    assert session_ids(connection) == {"s1"}


def test_same_batch_again_aborts_and_changes_nothing(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    batch = a_batch(checkpoint, *fed(a_session()))
    apply_batch(connection, batch)
    before = everything(connection)
    with pytest.raises(StaleBatch):
        apply_batch(connection, batch)
    assert everything(connection) == before


@pytest.mark.parametrize(
    "elsewhere", [{"epoch": "epoch-0"}, {"batch": 3}, {"since": "6"}, {"database": "site-lima-old"}]
)
def test_batch_from_another_checkpoint_aborts_and_changes_nothing(
    connection: psycopg.Connection, checkpoint: Checkpoint, elsewhere: dict[str, Any]
) -> None:
    before = everything(connection)
    with pytest.raises(StaleBatch):
        apply_batch(connection, a_batch(checkpoint._replace(**elsewhere), *fed(a_session())))
    assert everything(connection) == before


def test_batch_of_a_site_without_checkpoint_aborts(connection: psycopg.Connection) -> None:
    never = Checkpoint("cusco", "site-cusco", "epoch-1", 0, "0", rereading=True)
    with pytest.raises(StaleBatch):
        apply_batch(connection, a_batch(never, *fed(a_session())))


def test_epoch_starts_only_from_the_checkpoint_it_replaces(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    with pytest.raises(StaleBatch):
        start_epoch(connection, LIMA, None, "epoch-2")
    with pytest.raises(StaleBatch):
        start_epoch(connection, LIMA, checkpoint._replace(batch=4), "epoch-2")
    assert load_checkpoint(connection, "lima") == checkpoint
    started = start_epoch(connection, LIMA, checkpoint, "epoch-2")
    assert started == Checkpoint("lima", "site-lima", "epoch-2", 0, "0", rereading=True)


def test_document_with_the_same_leaves_is_left_as_it_is(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    first = apply_batch(connection, a_batch(checkpoint, *fed(a_session())))
    before = everything(connection)
    second = apply_batch(connection, a_batch(first.checkpoint, *fed(a_session())))
    assert (second.outcomes, second.unchanged) == ((), 1)
    after = everything(connection)
    assert before.pop("checkpoints") != after.pop("checkpoints")
    assert after == before


def test_document_read_as_recorded_that_is_not_aborts(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    without_bodies = FedDocument("session:s1", ("1-a",), None)
    with pytest.raises(StaleBatch):
        apply_batch(connection, a_batch(checkpoint, without_bodies))


def test_changed_document_replaces_all_its_rows_and_no_others(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    other = a_session("s2")
    session = a_session(tasks=[a_task_run("simon", trials=5), a_task_run("stroop")])
    first = apply_batch(connection, a_batch(checkpoint, *fed(session, other)))
    of_other = rows(connection, "SELECT t::text FROM sessions t WHERE id = 's2'")
    changed = a_session(status="abandoned", tasks=[a_task_run("simon", trials=2)])
    apply_batch(connection, a_batch(first.checkpoint, *fed(changed, rev="2-a")))
    assert rows(connection, "SELECT status, rev FROM sessions WHERE id = 's1'") == [("abandoned", "2-a")]
    in_session = "SELECT task, n_trials FROM task_runs WHERE session_id = 's1'"
    assert rows(connection, in_session) == [("simon", 2)]
    assert rows(connection, "SELECT count(*) FROM trials WHERE session_id = 's1'") == [(2,)]
    assert rows(connection, "SELECT DISTINCT task FROM scores WHERE session_id = 's1'") == [("simon",)]
    assert rows(connection, "SELECT t::text FROM sessions t WHERE id = 's2'") == of_other


async def test_same_session_id_in_two_sites_is_two_sessions(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", participant="p-lima"), "1-a")
    feed["nairobi"].save(
        a_session("s1", site="nairobi", participant="p-nairobi", tasks=[a_task_run(trials=2)]), "1-a"
    )
    await project()
    assert rows(connection, "SELECT site, id, participant FROM sessions ORDER BY site") == [
        ("lima", "s1", "p-lima"),
        ("nairobi", "s1", "p-nairobi"),
    ]
    per_site = "SELECT site, count(*) FROM trials GROUP BY site ORDER BY site"
    assert rows(connection, per_site) == [("lima", 4), ("nairobi", 2)]
    feed["lima"].save(a_session("s1", tasks=[]), "2-a", replaces=["1-a"])
    await project()
    assert rows(connection, per_site) == [("nairobi", 2)]


def test_rows_left_behind_without_a_record_are_replaced(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    first = apply_batch(connection, a_batch(checkpoint, *fed(a_session())))
    connection.execute("DELETE FROM documents")
    again = apply_batch(connection, a_batch(first.checkpoint, *fed(a_session())))
    assert [each.state for each in again.outcomes] == [State.PROJECTED]
    assert count(connection, "trials") == 4


def test_recorded_documents_tell_leaves_and_state(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    apply_batch(connection, a_batch(checkpoint, *fed(a_session())))
    recorded = recorded_documents(connection, "lima", ["session:s1", "session:s9"])
    assert set(recorded) == {"session:s1"}
    assert recorded["session:s1"].leaf_revs == ("1-a",)
    assert recorded["session:s1"].state is State.PROJECTED


def test_receipt_of_the_winning_revision_is_on_the_session_and_its_request_in_the_outcome(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    connection.execute(
        "INSERT INTO ingest_log"
        " (site, doc_id, rev, outcome, received_at, device, role, credential, request_id) VALUES"
        " ('lima', 'session:s1', '1-a', 'refused', '2016-07-24 08:30+00', 't', 'tablet', 'c', 'request-6'),"
        " ('lima', 'session:s1', '1-a', 'received', '2016-07-25 08:30+00', 't', 'tablet', 'c', 'request-7'),"
        " ('nairobi', 'session:s1', '1-a', 'received', '2016-07-26 08:30+00', 't', 'hub', 'c', 'request-8')"
    )
    applied = apply_batch(connection, a_batch(checkpoint, *fed(a_session())))
    assert applied.outcomes[0].request_ids == {"1-a": "request-7"}
    assert rows(connection, "SELECT received_at::text FROM sessions") == [("2016-07-25 08:30:00+00",)]


CHOKE = """
CREATE FUNCTION choke() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'cannot digest this' USING ERRCODE = '{sqlstate}'; END $$;
CREATE TRIGGER choke BEFORE INSERT ON trial_rows
FOR EACH ROW WHEN (NEW.rt_ms = 666) EXECUTE FUNCTION choke()
"""


# A constraint stands for what a table says of a value, the two states for what Postgres itself says of one.
@pytest.mark.parametrize(
    "rule",
    [
        "ALTER TABLE trial_rows ADD CHECK (rt_ms <> 666)",
        CHOKE.format(sqlstate="22023"),
        CHOKE.format(sqlstate="54000"),
    ],
    ids=["constraint", "data exception", "program limit exceeded"],
)
def test_poison_that_only_postgres_notices_is_quarantined_and_all_others_projected(
    owner: psycopg.Connection, connection: psycopg.Connection, checkpoint: Checkpoint, rule: str
) -> None:
    owner.execute(rule.encode())
    poisonous = {
        "p3": a_session("p3", tasks=[{**a_task_run(), "trials": [a_trial(1, rt=666)]}]),
        "p7": a_session("p7", tasks=[{**a_task_run(), "trials": [a_trial(1), a_trial(2, rt=666)]}]),
    }
    sessions = [poisonous.get(f"p{n}") or a_session(f"p{n}") for n in range(11)]
    applied = apply_batch(connection, a_batch(checkpoint, *fed(*sessions)))
    assert [each.id for each in applied.outcomes] == [session["_id"] for session in sessions]
    assert session_ids(connection) == {f"p{n}" for n in range(11)} - {"p3", "p7"}
    assert rows(connection, "SELECT doc_id, rev, code FROM quarantine ORDER BY doc_id") == [
        ("session:p3", "1-a", "unprojectable"),
        ("session:p7", "1-a", "unprojectable"),
    ]
    assert {doc_id for doc_id, state in states(connection).items() if state == "quarantined"} == {
        "session:p3",
        "session:p7",
    }
    assert rows(connection, "SELECT count(*) FROM trials WHERE session_id IN ('p3', 'p7')") == [(0,)]
    assert load_checkpoint(connection, "lima") == applied.checkpoint


def test_poison_message_says_what_postgres_said(
    owner: psycopg.Connection, connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    owner.execute("ALTER TABLE sessions ADD CONSTRAINT no_rain CHECK (visit <> 'rain')")
    apply_batch(connection, a_batch(checkpoint, *fed(a_session(visit="rain"))))
    ((message,),) = rows(connection, "SELECT message FROM quarantine")
    assert "no_rain" in message


def test_failure_of_the_server_is_no_documents_fault(
    owner: psycopg.Connection, connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    owner.execute("REVOKE INSERT ON scores FROM PUBLIC, metricis_app")
    before = everything(connection)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        apply_batch(connection, a_batch(checkpoint, *fed(a_session())))
    assert everything(connection) == before


def test_two_leaves_of_which_postgres_takes_none_are_both_quarantined(
    owner: psycopg.Connection, connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    owner.execute("ALTER TABLE sessions ADD CONSTRAINT no_rain CHECK (visit <> 'rain')")
    leaves = tuple(
        Leaf(id="session:s1", rev=rev, deleted=False, body=encode(a_session(visit="rain")))
        for rev in ("2-a", "2-b")
    )
    applied = apply_batch(connection, a_batch(checkpoint, FedDocument("session:s1", ("2-a", "2-b"), leaves)))
    assert applied.outcomes[0].state is State.QUARANTINED
    assert rows(connection, "SELECT rev FROM quarantine ORDER BY rev") == [("2-a",), ("2-b",)]


def test_ids_that_differ_only_in_nul_are_two_sessions(
    connection: psycopg.Connection, checkpoint: Checkpoint
) -> None:
    apply_batch(connection, a_batch(checkpoint, *fed(a_session("a\0"), a_session("a\ufffd", visit="later"))))
    found = dict(rows(connection, "SELECT id, visit FROM sessions"))
    assert found.pop("a\ufffd") == "later"
    (other,) = found
    assert other.startswith("a\ufffd…")

"""Rows are a function of the leaves there are now, whatever came before and in whatever batches."""

import random

import psycopg
import pytest

from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from tests.documents.examples import a_consent, a_patch, a_resolution, a_session
from tests.projection.conftest import RESULTS, rows
from tests.projection.memory_feed import MemoryDatabase, MemoryFeed

# Without what says when or in which reading a row was written.
COLUMNS = {
    "sessions": "site, id, visit, status, started_at, rev, source_missing_at",
    "documents": "site, doc_id, type, winner_rev, leaves, state, source_missing_at",
    "consents": "site, id, study, participant, signed_at, flags, has_signature, rev, source_missing_at",
    "quarantine": "site, doc_id, rev, type, code, path, message",
}
KEYS = {"sessions": "id", "consents": "id"} | dict.fromkeys(
    ("documents", "quarantine", "corrections", "losing_revisions"), "doc_id"
)


@pytest.mark.parametrize("seed", range(6))
async def test_projecting_each_step_equals_projecting_once_from_the_start(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str, seed: int
) -> None:
    choices = random.Random(seed)
    connection.execute("INSERT INTO studies (code, consent_required) VALUES ('SRO', true)")
    for step in range(12):
        for number in range(choices.randint(1, 4)):
            change_something(feed["lima"], choices, f"{step:02}{number}")
        limits = Limits(choices.choice([1, 2, 200]), choices.choice([1, 5_000, 10_000_000]))
        await Pump(feed, database_url, limits=limits).drain()
    projected = live_rows(feed["lima"], connection)
    for table in (*RESULTS, "checkpoints"):
        connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 (our own tables)
    await Pump(feed, database_url).drain()
    assert live_rows(feed["lima"], connection) == projected
    assert any(projected["trial_rows"])


def change_something(database: MemoryDatabase, choices: random.Random, rev_id: str) -> None:
    """A valid or invalid save, or a deletion, on none, one or two leaves of some session or correction; or a
    rewind.
    """
    name = choices.choice("abc")
    if choices.random() < 0.3:
        change_a_correction(database, choices, rev_id, name)
        return
    if choices.random() < 0.2:
        change_a_consent(database, choices, rev_id)
        return
    leaves = database.leaves.get(f"session:{name}", {})
    replaced = choices.sample(sorted(leaves), k=min(len(leaves), choices.choice([0, 1, 1, 2])))
    rev = f"{1 + max((int(rev.partition('-')[0]) for rev in replaced), default=0)}-{rev_id}"
    match choices.choice(["save", "save", "save wrongly", "delete", "rewind"]):
        case "save":
            database.save(a_session(name, visit=rev_id), rev, replaces=replaced)
        case "save wrongly":
            database.save(a_session(name, status="lost"), rev, replaces=replaced)
        case "delete" if replaced:
            database.delete(f"session:{name}", rev, replaces=replaced)
        case _:
            database.mark = None


def change_a_correction(database: MemoryDatabase, choices: random.Random, rev_id: str, name: str) -> None:
    """A patch that mends a status or names a visit, a resolution, or one of them changed or deleted."""
    number = choices.randint(1, 3)
    doc_id = f"correction:{name}:{number}"
    leaves = database.leaves.get(doc_id, {})
    live = [rev for rev, leaf in leaves.items() if not leaf.deleted]
    rev = f"{1 + max((int(rev.partition('-')[0]) for rev in leaves), default=0)}-{rev_id}"
    match choices.choice(["mend", "name", "resolve", "wrongly", "delete"]):
        case "mend":
            correction = a_patch(name, number, {"status": "completed"}, {"status": "lost"})
        case "name":
            correction = a_patch(name, number, {"visit": rev_id}, {"visit": rev_id})
        case "resolve":
            value = {"path": "$.visit", "value": rev_id, "base": ["0000", "0001", rev_id]}
            correction = a_resolution(name, number, value)
        case "delete" if live:
            database.delete(doc_id, rev, replaces=live)
            return
        case _:
            correction = a_patch(name, number, {"site": "nairobi"}, {"site": "lima"})
    database.save(correction, rev, replaces=list(leaves))


def change_a_consent(database: MemoryDatabase, choices: random.Random, rev_id: str) -> None:
    """A signature just before or after a session may begin, a wrong one, a second leaf, or a deletion."""
    leaves = database.leaves.get("consent:signed", {})
    live = [rev for rev, leaf in leaves.items() if not leaf.deleted]
    rev = f"{1 + max((int(rev.partition('-')[0]) for rev in leaves), default=0)}-{rev_id}"
    match choices.choice(["early", "late", "wrongly", "beside", "delete"]):
        case "delete" if live:
            database.delete("consent:signed", rev, replaces=live)
        case "wrongly":
            database.save(a_consent("signed", signed_at=None), rev, replaces=list(leaves))
        case "beside":
            database.save(a_consent("signed", study="SRO", form=None), f"1-{rev_id}")
        case when:
            at = "2016-07-22T03:00:00Z" if when == "early" else "2016-07-22T03:10:00Z"
            signed = a_consent("signed", study="SRO", form=None, signed_at=at)
            database.save(signed, rev, replaces=list(leaves))


def live_rows(database: MemoryDatabase, connection: psycopg.Connection) -> dict[str, list[str]]:
    """Every results row of documents with a live leaf. Rows of deleted ones stay as they were: history."""
    live = [
        key for key, leaves in database.leaves.items() if not all(leaf.deleted for leaf in leaves.values())
    ]
    names = [key.partition(":")[2] for key in live]
    found = {}
    for table in RESULTS:
        columns = COLUMNS.get(table, "t")
        key = KEYS.get(table, "session_id")
        query = f"SELECT ({columns})::text FROM {table} AS t WHERE {key} = ANY(%(ids)s)"  # noqa: S608 (ours)
        found[table] = sorted(row for (row,) in rows(connection, query, ids=live + names))
    return found

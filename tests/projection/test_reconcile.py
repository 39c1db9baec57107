"""What is missing is found, what is on its way is not called missing, and what is found can be repaired."""

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
import pytest

from reporting.errors import FeedUnavailable, NotFollowed
from reporting.projection.connections import Lease
from reporting.projection.feed import SiteDatabase
from reporting.projection.proof import Buckets, Proof, bucket_of
from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from reporting.projection.reconcile import reconcile_lost_site, reconcile_site, recorded_sites
from tests.documents.examples import a_consent, a_session
from tests.projection.conftest import Project, count, rows, session_ids
from tests.projection.memory_feed import MemoryFeed
from tests.projection.test_any_history import change_something

LIMA = SiteDatabase("lima", "site-lima")
Reconcile: TypeAlias = Callable[..., Awaitable[Proof]]


def clock() -> datetime:
    return datetime.now(UTC)


def tell(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
def reconcile(feed: MemoryFeed, connection: psycopg.Connection) -> Reconcile:
    async def run(*, full: bool = True, repair: bool = False) -> Proof:
        return await reconcile_site(
            feed, Lease(connection), LIMA, full=full, repair=repair, now=clock, tell=tell
        )

    return run


def counted(proof: Proof) -> dict[str, int]:
    """The counts that are not 0."""
    members = proof.counts.__struct_fields__
    return {name: n for name in members if (n := getattr(proof.counts, name))}


async def three_sessions(feed: MemoryFeed, project: Project) -> None:
    for name in ("s1", "s2", "s3"):
        feed["lima"].save(a_session(name), "1-a")
    await project()


def test_buckets_agree_in_any_order_and_name_where_they_do_not() -> None:
    one, other = Buckets(), Buckets()
    documents = [(f"session:{n}", ("1-a", "2-b")) for n in range(500)]
    for document in documents:
        one.add(*document)
    for document in reversed(documents):
        other.add(*document)
    assert one.differing(other) == []
    other.add("session:x", ("1-a",))
    assert one.differing(other) == [bucket_of("session:x")]
    one.add("session:x", ("1-b",))
    assert one.differing(other) == [bucket_of("session:x")]


async def test_a_site_with_everything_is_proved_state_by_state(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    lima = feed["lima"]
    lima.save(a_session("good"), "1-a")
    lima.save(a_session("two", visit="a"), "2-a")
    lima.save(a_session("two", visit="b"), "2-b")
    lima.save(a_session("bad", status="lost"), "1-a")
    lima.save(a_session("accepted", status="lost"), "1-a")
    lima.save(a_session("deleted"), "1-a")
    lima.delete("session:deleted", "2-b", replaces=["1-a"])
    lima.save({"_id": "visit:v1", "type": "visit"}, "1-a")
    lima.save({**a_session("n"), "_id": "session:" + "ü" * 300}, "1-a")
    lima.save({**a_session("n"), "_id": "session:a\x00b"}, "1-a")
    await project()
    connection.execute(
        "INSERT INTO waivers (site, doc_id, code, path, reason, waived_by)"
        " SELECT site, doc_id, code, path, 'known', 'c' FROM quarantine WHERE doc_id = 'session:accepted'"
    )
    proof = await reconcile()
    assert counted(proof) == {
        "documents": 8,
        "leaves": 9,
        "projected": 3,
        "conflicted": 1,
        "quarantined": 1,
        "waived": 1,
        "stored": 1,
        "deleted": 1,
    }
    assert proof.holds
    assert proof.finished_at is not None
    assert rows(connection, "SELECT site, kind, missing, counts ->> 'documents' FROM proofs") == [
        ("lima", "full", 0, "8")
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_history_the_proof_holds_and_needs_no_second_look(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str, reconcile: Reconcile, seed: int
) -> None:
    choices = random.Random(seed)
    for step in range(12):
        for number in range(choices.randint(1, 4)):
            change_something(feed["lima"], choices, f"{step:02}{number}")
        await Pump(feed, database_url, limits=Limits(choices.choice([1, 200]))).drain()
        feed.requests.clear()
        proof = await reconcile(full=choices.choice([True, False]))
        assert proof.holds
        assert (proof.counts.pending, proof.counts.gone, proof.newly_gone) == (0, 0, 0)
        assert ("look_up", "lima") not in feed.requests


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM documents WHERE doc_id = 'session:s1'", {"missing": 1, "double": 1}),
        ("UPDATE documents SET leaves = '{1-b}' WHERE doc_id = 'session:s1'", {"missing": 1}),
        ("UPDATE documents SET source_missing_at = now() WHERE doc_id = 'session:s1'", {"missing": 1}),
        ("DELETE FROM sessions WHERE id = 's1'", {"double": 1, "incomplete": 1}),
        ("DELETE FROM trial_rows WHERE session_id = 's1' AND trial_index = 2", {"incomplete": 1}),
        ("DELETE FROM task_runs WHERE session_id = 's1'", {"double": 1}),
        ("DELETE FROM quarantine", {"incomplete": 1}),
        ("UPDATE quarantine SET rev = '0-x'", {"double": 1, "incomplete": 1}),
        ("DELETE FROM trial_extras WHERE session_id = 's1'", {"incomplete": 1}),
        ("UPDATE trial_extras SET part = 7 WHERE session_id = 's1'", {"double": 1, "incomplete": 1}),
        (
            "UPDATE trial_rows SET trial_index = 1 WHERE session_id = 's1' AND trial_index = 2",
            {"double": 1, "incomplete": 1},
        ),
        (
            "INSERT INTO trial_rows SELECT * FROM trial_rows WHERE session_id = 's1' AND trial_index = 2",
            {"double": 1},
        ),
        ("DELETE FROM scores WHERE session_id = 's1'", {"incomplete": 1}),
        ("UPDATE scores SET run = 2 WHERE session_id = 's1'", {"double": 1, "incomplete": 1}),
        ("UPDATE sessions SET rev = '0-x' WHERE id = 's1'", {"incomplete": 1}),
        ("UPDATE sessions SET source_missing_at = now() WHERE id = 's1'", {"incomplete": 1}),
        (
            "UPDATE documents SET state = 'quarantined' WHERE doc_id = 'session:s1'",
            {"double": 1, "incomplete": 1},
        ),
    ],
)
async def test_damage_is_found_and_repaired_by_the_projector(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    reconcile: Reconcile,
    *,
    damage: str,
    found: dict[str, int],
) -> None:
    await three_sessions(feed, project)
    feed["lima"].save(a_session("bad", status="lost"), "1-a")
    await project()
    connection.execute(damage.encode())
    proof = await reconcile()
    assert {name: counted(proof).get(name, 0) for name in found} == found
    assert not proof.holds
    assert count(connection, "replays") == 0
    assert (await reconcile(repair=True)).repaired == 1
    assert rows(connection, "SELECT cause FROM replays") == [("reconcile",)]
    await project()
    proof = await reconcile()
    assert proof.holds
    assert counted(proof) == {"documents": 4, "leaves": 4, "projected": 3, "quarantined": 1}
    assert count(connection, "trials") == 12


async def test_what_the_projector_has_not_reached_is_pending(
    feed: MemoryFeed, project: Project, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    feed["lima"].save(a_session("s1"), "2-b", replaces=["1-a"])
    feed["lima"].save(a_session("s4"), "1-a")
    for full in (True, False):
        proof = await reconcile(full=full, repair=True)
        assert (proof.counts.pending, proof.counts.missing, proof.repaired) == (2, 0, 0)
    await project()
    proof = await reconcile(full=False)
    assert (proof.kind, proof.counts.documents, proof.counts.pending) == ("incremental", 2, 0)


async def test_changes_and_batches_meanwhile_are_no_false_alarm(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    for number in range(30):
        steps = iter(range(1 + number % 7))

        async def interfere(request: str, site: str, steps: Any = steps, number: int = number) -> None:
            if next(steps, None) is None:
                feed.before = nothing
                leaves = feed["lima"].leaves["session:s1"]
                feed["lima"].save(a_session("s1"), f"{number + 2}-x", replaces=list(leaves))
                feed["lima"].save(a_session(f"new{number}"), "1-a")
                if number % 2:
                    await project()

        feed.before = interfere
        proof = await reconcile(full=number % 3 != 0)
        feed.before = nothing
        assert proof.holds, number
        assert proof.newly_gone == 0
        await project()


async def nothing(request: str, site: str) -> None:
    return None


async def test_an_incremental_proof_reads_on_from_the_last_sound_one(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    assert (await reconcile(full=False)).kind == "full"
    assert counted(await reconcile(full=False)) == {"projected": 3}
    feed["lima"].save(a_session("s4"), "1-a")
    await project()
    connection.execute("DELETE FROM documents WHERE doc_id = 'session:s4'")
    for kind in ("incremental", "full", "full"):
        proof = await reconcile(full=False, repair=kind == "full")
        assert (proof.kind, proof.counts.missing) == (kind, 1)
        assert proof.examples["missing"] == ["session:s4"]
    await project()
    assert (await reconcile(full=False)).holds
    proof = await reconcile(full=False)
    assert (proof.kind, proof.counts.documents, proof.counts.missing) == ("incremental", 0, 0)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE documents SET leaves = '{1-b}' WHERE doc_id = 'session:s1'",
        "DELETE FROM trial_rows WHERE session_id = 's1' AND trial_index = 2",
    ],
)
async def test_a_defect_that_a_full_proof_has_found_is_not_forgotten_by_the_next(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile, damage: str
) -> None:
    await three_sessions(feed, project)
    assert (await reconcile()).holds
    connection.execute(damage.encode())
    assert not (await reconcile()).holds
    for _ in range(2):
        assert not (await reconcile(full=False)).holds
    await reconcile(full=False, repair=True)
    await project()
    assert (await reconcile(full=False)).holds


async def test_a_new_epoch_asks_for_a_full_proof(
    feed: MemoryFeed, project: Project, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    await reconcile()
    feed["lima"].mark = None
    with pytest.raises(NotFollowed):
        await reconcile(full=False)
    await project()
    assert (await reconcile(full=False)).kind == "full"


async def test_a_purged_document_is_gone_and_marked_by_a_repair(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    feed["lima"].save(a_session("s4"), "1-a")
    feed["lima"].delete("session:s4", "2-b", replaces=["1-a"])
    await project()
    for name in ("s1", "s4"):
        feed["lima"].purge(f"session:{name}")
    proof = await reconcile()
    assert proof.holds
    assert counted(proof) == {"documents": 2, "leaves": 2, "projected": 2, "gone": 2}
    assert (proof.newly_gone, proof.examples["gone"]) == (2, ["session:s1", "session:s4"])
    assert (await reconcile(repair=True)).repaired == 2
    missing = "SELECT id FROM sessions WHERE source_missing_at IS NOT NULL ORDER BY id"
    assert rows(connection, missing) == [("s1",)]
    proof = await reconcile()
    assert (proof.counts.gone, proof.newly_gone) == (2, 0)
    assert session_ids(connection) == {"s1", "s2", "s3"}


async def test_a_document_that_comes_back_the_same_is_found(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    feed["lima"].purge("session:s1")
    await reconcile(repair=True)
    feed["lima"].save(a_session("s1"), "1-a")
    assert (await reconcile()).counts.pending == 1
    await project()
    assert rows(connection, "SELECT FROM sessions WHERE source_missing_at IS NOT NULL") == []
    assert (await reconcile()).holds


async def test_a_session_that_nothing_explains_is_recorded_as_gone_and_stray_parts_are_removed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    for name in ("s1", "s2"):
        feed["lima"].purge(f"session:{name}")
    connection.execute("DELETE FROM documents WHERE doc_id IN ('session:s1', 'session:s2')")
    connection.execute("DELETE FROM sessions WHERE id = 's2'")
    proof = await reconcile()
    assert (proof.counts.double, proof.examples["double"]) == (2, ["session:s1", "session:s2"])
    await reconcile(repair=True)
    proof = await reconcile()
    assert proof.holds
    assert counted(proof) == {"documents": 1, "leaves": 1, "projected": 1, "gone": 1}
    assert rows(connection, "SELECT DISTINCT session_id FROM trials ORDER BY 1") == [("s1",), ("s3",)]
    assert rows(connection, "SELECT source_missing_at IS NOT NULL FROM sessions WHERE id = 's1'") == [(True,)]


async def test_rows_that_were_lost_with_their_document_stay_a_defect(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    feed["lima"].purge("session:s1")
    connection.execute("DELETE FROM sessions WHERE id = 's1'")
    await reconcile(repair=True)
    proof = await reconcile()
    assert (proof.counts.incomplete, proof.counts.double) == (1, 1)
    assert count(connection, "trials") == 12


async def test_a_site_database_that_disappeared_is_gone_as_a_whole(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    feed["nairobi"].save(a_session("s1", site="nairobi"), "1-a")
    await project()
    lima = feed.of_site.pop("lima")
    assert recorded_sites(connection) == {"lima", "nairobi"}
    proof = await reconcile_lost_site(Lease(connection), "lima", repair=False, now=clock)
    assert (counted(proof), proof.newly_gone, proof.holds) == ({"gone": 3}, 3, True)
    proof = await reconcile_lost_site(Lease(connection), "lima", repair=True, now=clock)
    assert proof.repaired == 3
    proof = await reconcile_lost_site(Lease(connection), "lima", repair=True, now=clock)
    assert (proof.newly_gone, proof.repaired) == (0, 0)
    assert rows(connection, "SELECT site FROM sessions WHERE source_missing_at IS NULL") == [("nairobi",)]
    feed.of_site["lima"] = lima
    assert (await reconcile(full=False, repair=True)).counts.missing == 3
    await project()
    assert counted(await reconcile(full=False))["projected"] == 3
    assert rows(connection, "SELECT FROM sessions WHERE source_missing_at IS NOT NULL") == []


async def test_a_site_that_was_not_read_yet_or_is_away_gives_no_proof(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    with pytest.raises(NotFollowed):
        await reconcile()
    await three_sessions(feed, project)

    async def away(request: str, site: str) -> None:
        if request == "read":
            raise FeedUnavailable("gone")

    feed.before = away
    with pytest.raises(FeedUnavailable):
        await reconcile(repair=True)
    assert count(connection, "proofs") == 0


async def test_a_new_reading_that_begins_meanwhile_gives_no_proof(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, reconcile: Reconcile
) -> None:
    await three_sessions(feed, project)
    feed["lima"].save(a_consent(), "1-a")

    async def restart(request: str, site: str) -> None:
        if request == "read":
            connection.execute("UPDATE checkpoints SET epoch = 'other' WHERE site = 'lima'")

    feed.before = restart
    with pytest.raises(NotFollowed):
        await reconcile()
    assert count(connection, "proofs") == 0

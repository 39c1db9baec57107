"""The projector on a CouchDB cluster that is at its worst: no row lost, none twice."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psycopg
import pytest

from replication.client import CouchClient
from replication.http.access import allow_everything
from reporting.engine import connect
from reporting.errors import FeedRefused, FeedUnavailable, SourceReplaced, StaleBatch
from reporting.projection.connections import Lease
from reporting.projection.feed import SiteDatabase
from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from reporting.projection.rebuild import rebuild_site
from reporting.projection.reconcile import reconcile_site
from reporting.projection.replays import request_replays
from sync_server.feed import CouchFeed
from tests.contract.couch import Couch, embedded_in, replicated
from tests.couchdb.quirks import Habits, Quirky, quirky
from tests.documents.examples import a_session
from tests.end_to_end.traffic import Traffic
from tests.projection.conftest import running, session_ids, until

LIMA = SiteDatabase("lima", "site-lima")
ROUNDS = 2
WRITES = 30
"""A round."""
TRIES = 300

CLUSTERS = {
    "arrays as sequences": Habits(opaque=True, as_arrays=True, rewinds=0.4),
    "copies that are behind": Habits(opaque=True, hides=0.05, unread=0.1, rewinds=0.3),
    "failures": Habits(fails=0.1, fails_after=0.1, accepted=True, stale_local=0.05),
    "everything": Habits(
        opaque=True,
        rewinds=0.2,
        hides=0.03,
        unread=0.05,
        stale_local=0.1,
        accepted=True,
        fails=0.05,
        fails_after=0.05,
        no_pending=True,
        refused={"_db_updates": 401},
    ),
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Couch]:
    """The store behind, with an empty site."""
    async with embedded_in(tmp_path / "store", allow_everything) as couch:
        (await couch.put("/site-lima", {})).ok(201)
        yield couch


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url) as connection:
        yield connection


@asynccontextmanager
async def cluster(store: Couch, habits: Habits, seed: int = 1) -> AsyncIterator[tuple[Quirky, CouchFeed]]:
    """The store as a cluster with these habits, and a feed of it."""
    async with quirky(store.base, habits, seed=seed) as (server, base), aiohttp.ClientSession() as http:
        yield server, CouchFeed(CouchClient(http, base))


async def project(feed: CouchFeed, database_url: str) -> None:
    """Project until nothing fails on the way: a failure is waited out, and work is done once."""
    for _ in range(TRIES):
        try:
            await Pump(feed, database_url, limits=Limits(changes=5)).drain()
        except (FeedUnavailable, SourceReplaced, StaleBatch):
            continue
        return
    pytest.fail("it never gets through")


async def prove(feed: CouchFeed, connection: psycopg.Connection) -> dict[str, int]:
    """What is not as the store has it."""
    proof = await reconcile_site(
        feed,
        Lease(connection),
        LIMA,
        full=True,
        repair=False,
        now=lambda: datetime.now(UTC),
        tell=lambda *_: None,
    )
    names = ("missing", "double", "incomplete", "pending")
    return {name: n for name in names if (n := getattr(proof.counts, name))}


def leaves(connection: psycopg.Connection) -> dict[str, set[str]]:
    found = connection.execute("SELECT doc_id, leaves FROM documents").fetchall()
    return {doc_id: set(revs) for doc_id, revs in found}


@pytest.mark.parametrize("name", CLUSTERS)
async def test_whatever_a_cluster_does_no_row_is_lost_and_none_is_there_twice(
    name: str, store: Couch, database_url: str, connection: psycopg.Connection
) -> None:
    traffic = Traffic("lima", store.base.removesuffix("/db"), {}, seed=7)
    async with cluster(store, CLUSTERS[name]) as (server, feed):
        for _ in range(ROUNDS):
            for _ in range(WRITES):
                await traffic.step(store.session)
            await project(feed, database_url)
        expected = {doc_id: set(revs) for doc_id, revs in traffic.leaves.items()}
        for _ in range(TRIES):
            if leaves(connection) == expected:
                break
            await project(feed, database_url)
        often = [habit for habit, value in vars(server.habits).items() if isinstance(value, float) and value]
        assert all(server.shown[habit] for habit in often), server.shown
        server.habits = Habits(opaque=server.habits.opaque, as_arrays=server.habits.as_arrays)
        assert leaves(connection) == expected
        assert await prove(feed, connection) == {}
        rebuilt = await rebuild_site(feed, database_url, LIMA, new_epoch=lambda: "anew", tell=lambda *_: None)
    assert rebuilt.replaced == 0, rebuilt
    assert traffic.conflicts
    assert traffic.deletions


async def test_a_leaf_that_no_copy_gives_stops_nothing_and_is_projected_once_it_is_there(
    store: Couch, database_url: str, connection: psycopg.Connection
) -> None:
    for number in range(3):
        document = replicated(f"session:s{number}", "1-a", **without_id(a_session(f"s{number}")))
        (await store.post("/site-lima/_bulk_docs", {"docs": [document], "new_edits": False})).ok(201)
    async with cluster(store, Habits(unread=1.0)) as (server, feed):
        await project(feed, database_url)
        assert session_ids(connection) == set()
        (asked,) = connection.execute("SELECT count(*) FROM replays").fetchone() or (0,)
        assert asked == 3
        server.habits.unread = 0.0
        # A copy that is behind does not even name them.
        server.habits.hides = 1.0
        await project(feed, database_url)
        assert connection.execute("SELECT count(*) FROM replays").fetchone() == (3,)
        server.habits.hides = 0.0
        await project(feed, database_url)
    assert session_ids(connection) == {"s0", "s1", "s2"}
    assert connection.execute("SELECT count(*) FROM replays").fetchone() == (0,)
    assert await prove(CouchFeed(CouchClient(store.session, store.base)), connection) == {}


async def test_what_is_not_named_any_more_counts_as_purged_after_a_while(
    store: Couch, database_url: str, connection: psycopg.Connection
) -> None:
    document = replicated("session:s1", "1-a", **without_id(a_session("s1")))
    (await store.post("/site-lima/_bulk_docs", {"docs": [document], "new_edits": False})).ok(201)
    async with cluster(store, Habits(unread=1.0)) as (_, feed):
        await project(feed, database_url)
        (await store.post("/site-lima/_purge", {"session:s1": ["1-a"]})).ok(201)
        await project(feed, database_url)
        assert connection.execute("SELECT count(*) FROM replays").fetchone() == (1,)
        connection.execute("UPDATE replays SET requested_at = now() - interval '61 minutes'")
        connection.commit()
        await project(feed, database_url)
    assert connection.execute("SELECT count(*) FROM replays").fetchone() == (0,)
    assert await prove(CouchFeed(CouchClient(store.session, store.base)), connection) == {}


async def test_a_feed_of_a_copy_that_is_behind_takes_no_recorded_leaf_away(
    store: Couch, database_url: str, connection: psycopg.Connection
) -> None:
    for rev in ("1-a", "1-b", "1-c"):
        document = replicated("session:s1", rev, **without_id(a_session("s1")))
        (await store.post("/site-lima/_bulk_docs", {"docs": [document], "new_edits": False})).ok(201)
    async with cluster(store, Habits()) as (server, feed):
        await project(feed, database_url)
        assert leaves(connection) == {"session:s1": {"1-a", "1-b", "1-c"}}
        # Read from its start, and by a copy without the winner.
        (await store.call("DELETE", "/site-lima/_local/projector")).ok()
        server.habits.hides = 1.0
        await Pump(feed, database_url).drain()
        assert server.shown["hides"]
        assert leaves(connection) == {"session:s1": {"1-a", "1-b", "1-c"}}


@pytest.mark.parametrize("revs", [("1-a",), ("1-a", "1-b", "1-c")], ids=["not named", "named in part"])
async def test_a_replay_that_a_copy_which_is_behind_answers_loses_no_leaf_and_is_carried_out(
    revs: tuple[str, ...], store: Couch, database_url: str, connection: psycopg.Connection
) -> None:
    for rev in revs:
        document = replicated("session:s1", rev, **without_id(a_session("s1")))
        (await store.post("/site-lima/_bulk_docs", {"docs": [document], "new_edits": False})).ok(201)
    async with cluster(store, Habits()) as (server, feed):
        await project(feed, database_url)
        connection.execute("DELETE FROM sessions")
        with connection.transaction():
            request_replays(
                connection, "lima", ["session:s1"], cause="retry", requested_by="c@clinic.example"
            )
        connection.commit()
        server.habits.hides = 1.0
        await Pump(feed, database_url).drain()
        assert server.shown["hides"]
    assert leaves(connection) == {"session:s1": set(revs)}
    assert session_ids(connection) == {"s1"}
    assert connection.execute("SELECT count(*) FROM replays").fetchone() == (0,)


@pytest.mark.timeout(60)
async def test_sites_are_polled_where_updates_are_refused_or_not_told(
    store: Couch, database_url: str, connection: psycopg.Connection
) -> None:
    cases = [
        *(Habits(refused={"_db_updates": status}) for status in (401, 403, 404)),
        Habits(untold=1.0),
    ]
    for number, habits in enumerate(cases):
        async with cluster(store, habits) as (server, feed):
            async with running(Pump(feed, database_url, poll_seconds=0.1, look_seconds=0.1)):
                document = replicated(f"session:s{number}", "1-a", **without_id(a_session(f"s{number}")))
                (await store.post("/site-lima/_bulk_docs", {"docs": [document], "new_edits": False})).ok(201)
                await until(lambda number=number: f"s{number}" in session_ids(connection))  # type: ignore[misc]
            assert server.shown["refused"] + server.shown["untold"]


async def test_sites_that_may_not_be_listed_are_a_refusal_that_names_itself(store: Couch) -> None:
    async with cluster(store, Habits(refused={"_all_dbs": 401})) as (_, feed):
        with pytest.raises(FeedRefused, match="unauthorized"):
            await feed.databases()


def without_id(document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name != "_id"}

"""Rows made anew beside the live ones: the same, or put right, or left alone."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from reporting import tables
from reporting.errors import FeedUnavailable, NotFollowed, StaleBatch
from reporting.projection import fresh
from reporting.projection.apply import apply_batch
from reporting.projection.batch import Checkpoint
from reporting.projection.checkpoint import load_checkpoint, start_epoch
from reporting.projection.feed import Mark, SiteDatabase
from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from reporting.projection.rebuild import Rebuilt, rebuild_site
from reporting.projection.replays import load_replays, read_replays, request_replays
from reporting.scoring import DEFINITIONS, Definition
from reporting.scoring.simon import score_simon
from tests.documents.examples import a_consent, a_session, a_task_run
from tests.projection.conftest import Project, count, rows, running, session_ids
from tests.projection.memory_feed import MemoryFeed
from tests.projection.test_across_documents import a_sitting, duplicates
from tests.projection.test_any_history import change_something

LIMA = SiteDatabase("lima", "site-lima")


async def rebuild(feed: MemoryFeed, database_url: str, **options: Any) -> Rebuilt:
    return await rebuild_site(
        feed, database_url, LIMA, **{"new_epoch": lambda: "new", "tell": told([]), **options}
    )


def told(into: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: into.append((done, total))


def fingerprints(connection: psycopg.Connection) -> dict[str, str]:
    """A hash of every row of every results table, whenever it was written."""
    found = {}
    for table in tables.RESULTS:
        columns = ", ".join(
            f'"{column.name}"'
            for column in table.columns
            if column.name not in ("projected_at", "quarantined_at", "source_missing_at")
        )
        query = f"SELECT md5(coalesce(string_agg(r, '|' ORDER BY r), '')) FROM (SELECT ROW({columns})::text AS r FROM {table.name}) t"  # noqa: E501, S608 (our own tables)
        ((found[table.name],),) = rows(connection, query)
    return found


def checkpoint(connection: psycopg.Connection) -> Checkpoint:
    found = load_checkpoint(connection, "lima")
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_history_nothing_differs(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str, seed: int
) -> None:
    choices = random.Random(seed)
    for step in range(12):
        for number in range(choices.randint(1, 4)):
            change_something(feed["lima"], choices, f"{step:02}{number}")
        await Pump(feed, database_url, limits=Limits(choices.choice([1, 2, 200]))).drain()
    if "session:c" in feed["lima"].leaves:
        feed["lima"].purge("session:c")
    feed["lima"].save(a_consent(), "1-a")
    await Pump(feed, database_url).drain()
    before, at = fingerprints(connection), checkpoint(connection)
    rebuilt = await rebuild(feed, database_url, limits=Limits(2))
    assert (rebuilt.replaced, set(rebuilt.by_table.values())) == (0, {0})
    assert fingerprints(connection) == before
    assert checkpoint(connection) == at._replace(batch=at.batch + 1)
    assert feed["lima"].mark == Mark(at.epoch, at.batch + 1)


@pytest.mark.parametrize(
    ("damage", "differing"),
    [
        ("DELETE FROM trial_rows WHERE session_id = 's1' AND trial_index = 2", {"trial_rows"}),
        ("UPDATE scores SET value = 1 WHERE session_id = 's1' AND name = 'avg_rt'", {"scores"}),
        ("UPDATE sessions SET visit = 'other' WHERE id = 's1'", {"sessions"}),
        ("DELETE FROM sessions WHERE id = 's1'", {"sessions"}),
        ("UPDATE quarantine SET code = 'x'", {"quarantine"}),
        ("UPDATE documents SET leaves = '{}' WHERE doc_id = 'session:s1'", {"documents"}),
        ("DELETE FROM documents WHERE doc_id = 'session:s1'", {"documents"}),
        ("UPDATE sessions SET source_missing_at = now() WHERE id = 's1'", {"sessions"}),
        (
            "INSERT INTO scores SELECT site, 'bad', task, run, name, value, 1 FROM scores"
            " WHERE session_id = 's1'",
            {"scores"},
        ),
    ],
)
async def test_a_damaged_table_is_mended(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    database_url: str,
    *,
    damage: str,
    differing: set[str],
) -> None:
    for name in ("s1", "s2"):
        feed["lima"].save(a_session(name), "1-a")
    feed["lima"].save(a_session("bad", status="lost"), "1-a")
    await project()
    before = fingerprints(connection)
    connection.execute(damage.encode())
    dry = await rebuild(feed, database_url, dry_run=True)
    assert fingerprints(connection) != before or "source_missing_at" in damage
    rebuilt = await rebuild(feed, database_url)
    assert dry == rebuilt
    assert rebuilt.replaced == 1
    assert {table for table, documents in rebuilt.by_table.items() if documents} == differing
    assert fingerprints(connection) == before
    assert rows(connection, "SELECT FROM sessions WHERE source_missing_at IS NOT NULL") == []
    assert (await rebuild(feed, database_url)).replaced == 0


async def test_a_dry_run_changes_nothing_at_all(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    connection.execute("DELETE FROM trial_rows")
    before, mark = fingerprints(connection), feed["lima"].mark
    at = rows(connection, "SELECT * FROM checkpoints")
    assert (await rebuild(feed, database_url, dry_run=True)).by_table["trial_rows"] == 1
    assert fingerprints(connection) == before
    assert rows(connection, "SELECT * FROM checkpoints") == at
    assert feed["lima"].mark == mark


async def test_rows_of_documents_that_are_gone_or_deleted_stay_and_are_marked(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    for name in ("gone", "deleted", "there"):
        feed["lima"].save(a_session(name), "1-a")
    await project()
    feed["lima"].delete("session:deleted", "2-b", replaces=["1-a"])
    await project()
    feed["lima"].purge("session:gone")
    rebuilt = await rebuild(feed, database_url)
    assert (rebuilt.replaced, rebuilt.marked) == (0, 2)
    missing = "SELECT id FROM sessions WHERE source_missing_at IS NOT NULL ORDER BY id"
    assert rows(connection, missing) == [("deleted",), ("gone",)]
    assert count(connection, "trials") == 12
    assert (await rebuild(feed, database_url)).marked == 0


async def test_flags_of_what_a_rebuild_finds_gone_are_those_that_the_projector_leaves(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    for name in "ab":
        feed["lima"].save(a_sitting(name), "1-a")
    await project()
    assert len(duplicates(connection)) == 2
    feed["lima"].purge("session:a")
    await rebuild(feed, database_url)
    assert duplicates(connection) == {}


async def test_another_site_is_left_alone(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    feed["nairobi"].save(a_session("s1", site="nairobi"), "1-a")
    await project()
    connection.execute("DELETE FROM trial_rows")
    await rebuild(feed, database_url)
    assert rows(connection, "SELECT DISTINCT site FROM trials") == [("lima",)]


async def test_scores_of_an_older_version_go_into_the_history(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    n_scores = count(connection, "scores")
    monkeypatch.setitem(DEFINITIONS, "simon", Definition(2, score_simon))
    assert (await rebuild(feed, database_url)).by_table["scores"] == 1
    assert rows(connection, "SELECT DISTINCT scoring_version FROM scores") == [(2,)]
    history = "SELECT scoring_version, count(*) FROM score_history GROUP BY 1"
    assert rows(connection, history) == [(1, n_scores)]


async def test_a_failure_in_the_middle_changes_nothing(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    for number in range(6):
        feed["lima"].save(a_session(f"s{number}"), "1-a")
    await project()
    connection.execute("DELETE FROM scores")
    before, at = fingerprints(connection), checkpoint(connection)

    class Killed(BaseException):
        pass

    for fails_at in range(1, 14):
        left = iter(range(fails_at))

        async def fail(request: str, site: str, left: Any = left) -> None:
            if next(left, None) is None:
                raise Killed

        feed.before = fail
        try:
            await rebuild(feed, database_url, limits=Limits(2))
        except Killed:
            assert fingerprints(connection) == before
            assert checkpoint(connection) == at
        else:
            break
    assert count(connection, "scores") == 30
    assert fails_at > 5


async def test_a_lost_connection_at_any_request_changes_nothing(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    for number in range(4):
        feed["lima"].save(a_session(f"s{number}"), "1-a")
    await project()
    connection.execute("DELETE FROM scores")
    before, at = fingerprints(connection), checkpoint(connection)
    lost = 0
    for lost_at in range(2, 10):
        left = iter(range(lost_at))

        async def cut(request: str, site: str, left: Any = left) -> None:
            if next(left, None) is None:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'metricis-rebuild'"
                )

        feed.before = cut
        try:
            await rebuild(feed, database_url, limits=Limits(2))
        except psycopg.OperationalError:
            lost += 1
            assert fingerprints(connection) == before
            assert checkpoint(connection) == at
    feed.before = nothing
    assert lost > 3
    await rebuild(feed, database_url)
    assert count(connection, "scores") == 20


async def test_replays_that_a_rebuild_asks_itself_for_are_its_own(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    for statement in fresh.create_fresh():
        connection.execute(statement)
    own = start_epoch(connection, LIMA, None, "own")
    for _ in range(2):
        with connection.transaction():
            request_replays(connection, "lima", ["session:s1"], cause="correction", requested_by="p")
    batch = await read_replays(feed, own, load_replays(connection, "lima"), {}, Limits())
    apply_batch(connection, batch)
    assert load_replays(connection, "lima") == []
    found = "SELECT (SELECT count(*) FROM pg_temp.trial_rows), (SELECT count(*) FROM public.replays)"
    assert rows(connection, found) == [(4, 0)]
    assert rows(connection, "SELECT epoch FROM pg_temp.checkpoints") == [("own",)]
    assert rows(connection, "SELECT epoch <> 'own' FROM public.checkpoints WHERE site = 'lima'") == [(True,)]


async def test_a_store_that_is_away_is_told(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()

    async def away(request: str, site: str) -> None:
        if request == "leaves":
            raise FeedUnavailable("gone")

    feed.before = away
    with pytest.raises(FeedUnavailable):
        await rebuild(feed, database_url)


async def test_the_projector_runs_and_tablets_write_meanwhile(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    for number in range(30):
        feed["lima"].save(a_session(f"s{number}"), "1-a")
    await project()
    connection.execute("DELETE FROM trial_rows")
    written = 0

    async def write(request: str, site: str) -> None:
        nonlocal written
        if request == "leaves" and written < 20:
            written += 1
            feed["lima"].save(a_session(f"new{written}"), "1-a")
            feed.hint()
        await asyncio.sleep(0.001)

    feed.before = write
    async with running(Pump(feed, database_url, poll_seconds=0.01)):
        rebuilt = await rebuild(feed, database_url, limits=Limits(changes=3))
        feed.before = nothing
        feed["lima"].save(a_session("last"), "1-a")
        async with asyncio.timeout(30):
            while "last" not in session_ids(connection):
                feed.hint()
                await asyncio.sleep(0.02)
    assert rebuilt.by_table["trial_rows"] >= 30
    assert written == 20
    assert count(connection, "trials") == 51 * 4
    assert (await rebuild(feed, database_url)).replaced == 0


async def nothing(request: str, site: str) -> None:
    return None


async def test_a_batch_that_the_projector_read_before_is_stale_afterwards(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    at = checkpoint(connection)
    feed["lima"].save(a_session("s2"), "1-a")
    assert (await rebuild(feed, database_url)).documents == 2
    assert checkpoint(connection) == at._replace(batch=at.batch + 1, since="2")
    assert session_ids(connection) == {"s1", "s2"}


async def test_a_site_that_was_recreated_is_read_in_a_new_epoch_and_a_dry_run_refuses(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("old"), "1-a")
    await project()
    feed.recreate("lima").save(a_session("new"), "1-a")
    with pytest.raises(NotFollowed):
        await rebuild(feed, database_url, dry_run=True)
    rebuilt = await rebuild(feed, database_url)
    assert (rebuilt.replaced, rebuilt.marked) == (1, 2)
    assert (checkpoint(connection).epoch, checkpoint(connection).rereading) == ("new", False)
    assert session_ids(connection) == {"old", "new"}


async def test_a_site_that_was_never_projected_is(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    assert (await rebuild(feed, database_url)).replaced == 1
    assert session_ids(connection) == {"s1"}


async def test_a_new_reading_that_begins_meanwhile_starts_the_rebuild_again(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    epochs = iter("abcdef")

    async def restart(request: str, site: str) -> None:
        if request == "leaves" and (epoch := next(epochs, None)):
            feed["lima"].mark = Mark(epoch, 0)
            connection.execute("UPDATE checkpoints SET epoch = %s, batch = 0, since = '0'", [epoch])

    feed.before = restart
    with pytest.raises(StaleBatch):
        await rebuild(feed, database_url)
    assert next(epochs) == "d"
    feed.before = nothing
    assert (await rebuild(feed, database_url)).replaced == 0


async def test_progress_is_told(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    for number in range(5):
        feed["lima"].save(a_session(f"s{number}", tasks=[a_task_run(trials=1)]), "1-a")
    await project()
    progress: list[tuple[int, int]] = []
    await rebuild(feed, database_url, limits=Limits(2), tell=told(progress))
    assert progress == [(2, 5), (4, 5), (5, 5)]

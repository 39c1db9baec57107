"""Documents that are projected again although their leaves are recorded."""

import asyncio
from collections.abc import Mapping, Sequence

import psycopg
import pytest

from replication.values import Change, Leaf
from reporting.errors import FeedUnavailable
from reporting.projection.apply import apply_batch
from reporting.projection.checkpoint import load_checkpoint
from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from reporting.projection.replays import load_replays, read_replays, request_replays
from tests.documents.examples import a_session
from tests.projection.conftest import Project, everything, rows, running, session_ids
from tests.projection.memory_feed import MemoryFeed


def ask(connection: psycopg.Connection, *keys: str, cause: str = "retry") -> None:
    with connection.transaction():
        request_replays(connection, "lima", keys, cause=cause, requested_by="c@clinic.example")


def lose_rows(connection: psycopg.Connection, *session_ids: str) -> None:
    connection.execute("DELETE FROM sessions WHERE id = ANY(%s)", [list(session_ids)])


def waiting(connection: psycopg.Connection) -> list[str]:
    return [row[0] for row in rows(connection, "SELECT doc_id FROM replays ORDER BY doc_id")]


async def test_a_replayed_document_is_written_again_and_no_other(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for name in ("s1", "s2"):
        feed["lima"].save(a_session(name), "1-a")
    await project()
    lose_rows(connection, "s1", "s2")
    ask(connection, "session:s1")
    await project()
    assert session_ids(connection) == {"s1"}
    assert waiting(connection) == []


async def test_a_replay_leaves_every_row_as_it_was(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    connection.execute("UPDATE sessions SET projected_at = 'epoch'")
    connection.execute("UPDATE documents SET projected_at = 'epoch'")
    before = everything(connection)
    ask(connection, "session:s1")
    await project()
    connection.execute("UPDATE sessions SET projected_at = 'epoch'")
    connection.execute("UPDATE documents SET projected_at = 'epoch'")
    after = everything(connection)
    assert before.pop("checkpoints") != after.pop("checkpoints")
    assert before == after


async def test_replays_do_not_pass_for_an_advance_in_the_feed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    advanced_at = "SELECT advanced_at, changed_at, complete_through FROM checkpoints WHERE site = 'lima'"
    before = rows(connection, advanced_at)
    ask(connection, "session:s1")
    await project()
    assert waiting(connection) == []
    assert rows(connection, advanced_at) == before


async def test_a_replay_of_a_document_that_is_gone_is_done(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    ask(connection, "session:s1", "session:never")
    feed["lima"].purge("session:s1")
    await project()
    assert waiting(connection) == []
    assert session_ids(connection) == {"s1"}


async def test_a_document_asked_for_again_meanwhile_is_replayed_again(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    ask(connection, "session:s1")
    checkpoint = load_checkpoint(connection, "lima")
    assert checkpoint is not None
    batch = await read_replays(feed, checkpoint, load_replays(connection, "lima"), {}, Limits())
    ask(connection, "session:s1")
    apply_batch(connection, batch)
    assert waiting(connection) == ["session:s1"]


async def test_more_replays_than_fit_in_a_batch_are_all_worked_off(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    names = [f"s{number}" for number in range(7)]
    for name in names:
        feed["lima"].save(a_session(name), "1-a")
    await project()
    lose_rows(connection, *names)
    ask(connection, *(f"session:{name}" for name in names))
    await Pump(feed, database_url, limits=Limits(body_bytes=1)).drain()
    assert session_ids(connection) == set(names)
    assert waiting(connection) == []


@pytest.mark.parametrize("doc_id", ["session:" + "x" * 300, "session:a\x00b"])
async def test_a_document_whose_id_rows_cannot_spell_is_found(
    doc_id: str, feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save({**a_session("s1"), "_id": doc_id}, "1-a")
    await project()
    (key,) = (row[0] for row in rows(connection, "SELECT doc_id FROM documents"))
    connection.execute("DELETE FROM sessions")
    ask(connection, key)
    await project()
    assert len(session_ids(connection)) == 1
    assert waiting(connection) == []


async def test_an_id_that_was_not_asked_for_as_rows_spell_it_ends_nothing_and_stops_nobody(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    long = "session:" + "x" * 300
    feed["lima"].save({**a_session("s1"), "_id": long}, "1-a")
    feed["lima"].save(a_session("s2"), "1-a")
    await project()
    lose_rows(connection, "s2")
    ask(connection, long, "session:s2")
    await project()
    assert "s2" in session_ids(connection)
    assert waiting(connection) == []


async def test_a_running_projector_finds_replays_by_itself_while_pages_go_on(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    async with running(Pump(feed, database_url, poll_seconds=0.05)):
        await _until(connection, ["s1"])
        lose_rows(connection, "s1")
        ask(connection, "session:s1")
        feed["lima"].save(a_session("s2"), "1-a")
        await _until(connection, ["s1", "s2"])


async def _until(connection: psycopg.Connection, names: Sequence[str]) -> None:
    async with asyncio.timeout(30):
        while session_ids(connection) != set(names):  # noqa: ASYNC110 (Postgres has no event to wait for)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("failing", ["look_up", "leaves"])
async def test_a_replay_that_always_fails_does_not_keep_the_feed_from_being_read(
    failing: str, feed: MemoryFeed, connection: psycopg.Connection, database_url: str
) -> None:
    replaying = False

    async def fail(request: str, site: str) -> None:
        nonlocal replaying
        replaying = request == "look_up" or (replaying and request == "leaves")
        if replaying and request == failing:
            raise FeedUnavailable("no answer for this one")

    feed["lima"].save(a_session("s1"), "1-a")
    async with running(Pump(feed, database_url, poll_seconds=0.05)):
        await _until(connection, ["s1"])
        feed.before = fail
        ask(connection, "session:s1")
        async with asyncio.timeout(30):
            while ("look_up", "lima") not in feed.requests:  # noqa: ASYNC110 (see below)
                await asyncio.sleep(0.05)
        feed["lima"].save(a_session("s2"), "1-a")
        await _until(connection, ["s1", "s2"])
    assert waiting(connection) == ["session:s1"]


async def test_a_replay_whose_content_is_not_given_waits_and_ends_nothing(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    ask(connection, "session:s1")
    read_leaves = feed.leaves

    async def none(database: str, changes: Sequence[Change]) -> Mapping[str, Sequence[Leaf]]:
        return {}

    feed.leaves = none  # type: ignore[method-assign]
    before = load_checkpoint(connection, "lima")
    async with asyncio.timeout(30):
        await project()
    assert waiting(connection) == ["session:s1"]
    assert load_checkpoint(connection, "lima") == before
    feed.leaves = read_leaves  # type: ignore[method-assign]
    await project()
    assert waiting(connection) == []

"""What ends a feed that does not end by itself, what its reader may see of it, what waking many costs."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from replication.errors import Unauthorized
from replication.http import feed_waiting
from replication.http.access import Access, FullAccess, Operation
from replication.store import reading
from replication.store.database import Database
from replication.store.reading import SLICE_BYTES, Selection
from replication.store.registry import Registry
from tests.contract.couch import Db, embedded, fresh_database, replicated


class Reader(FullAccess):
    """Sees batteries only."""

    prefixes: tuple[str, ...] | None = ("battery:",)
    most_local_bytes: int = 1024 * 1024

    def may_read(self, doc_id: str) -> bool:
        return doc_id.startswith("battery:")


class Door:
    """Knows its owner, and a reader until it is revoked."""

    revoked = False

    async def authorize(
        self,
        request: web.Request,
        operation: Operation,  # noqa: ARG002
        database: str | None,  # noqa: ARG002
    ) -> Access:
        if request.headers.get("Authorization") != "reader":
            return FullAccess()
        if self.revoked:
            raise Unauthorized("revoked")
        return Reader()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def db(registry: Registry, door: Door) -> AsyncIterator[Db]:
    async with embedded(registry, door.authorize) as couch, fresh_database(couch) as db:
        yield db


@pytest.fixture
async def database(registry: Registry, db: Db) -> Database:
    return await registry.open(db.name)


class Listening:
    """A feed that somebody listens to."""

    def __init__(self, db: Db, *, reader: bool = False, **query: str) -> None:
        headers = {"Authorization": "reader"} if reader else {}
        query = {"feed": "continuous", "timeout": "600000", **query}
        self._request = db.session.get(db.url("/_changes", query), headers=headers)

    async def __aenter__(self) -> aiohttp.StreamReader:
        response = await self._request.__aenter__()
        assert response.status == 200
        return response.content

    async def __aexit__(self, *failure: Any) -> None:
        await self._request.__aexit__(*failure)


async def ids(feed: aiohttp.StreamReader, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        if (line := await feed.readline()).strip():
            found.append(json.loads(line)["id"])
    return found


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 (what happens is in the server, which tells nobody)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["continuous", "eventsource"])
async def test_a_live_feed_shows_what_its_reader_may_see(db: Db, kind: str) -> None:
    await db.push(replicated("session:1", "1-a"), replicated("battery:1", "1-a"))
    async with Listening(db, reader=True, feed=kind, include_docs="true", limit="2") as feed:
        begun = await feed.readline()
        assert b"battery:1" in begun
        await db.push(replicated("session:2", "1-a"), replicated("battery:2", "1-a"))
        rest = await feed.read()
    assert b"battery:2" in rest
    assert b"session" not in begun + rest


async def test_a_stopping_server_ends_live_feeds_in_good_order(
    db: Db, registry: Registry, database: Database
) -> None:
    async with Listening(db) as feed, Listening(db, feed="eventsource") as events:
        await db.save("a")
        assert await ids(feed, 1) == ["a"]
        await events.readline()
        await until(lambda: database.changed.waiting == 2)
        registry.stop_feeds()
        assert json.loads(await feed.read())["last_seq"] == database.sequence(1)
        assert b"last_seq" not in await events.read()


async def test_deleting_a_database_ends_its_live_feeds(db: Db, database: Database) -> None:
    async with Listening(db) as feed:
        await db.save("a")
        await ids(feed, 1)
        await until(lambda: database.changed.waiting == 1)
        (await db.delete("")).ok()
        assert json.loads(await feed.read())["last_seq"] == database.sequence(1)


async def test_a_live_feed_whose_client_went_away_does_not_wait_on(
    db: Db, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_waiting, "LOOK_SECONDS", 0.01)
    async with Listening(db) as feed:
        await db.save("a")
        await ids(feed, 1)
        await until(lambda: database.changed.waiting == 1)
    await until(lambda: database.changed.waiting == 0)


async def test_a_revoked_reader_hears_no_further_change(db: Db, database: Database, door: Door) -> None:
    async with Listening(db, reader=True) as feed:
        await db.push(replicated("battery:1", "1-a"))
        assert await ids(feed, 1) == ["battery:1"]
        await until(lambda: database.changed.waiting == 1)
        door.revoked = True
        await db.push(replicated("battery:2", "1-a"))
        with pytest.raises(aiohttp.ClientPayloadError):
            await feed.read()


async def test_an_idle_feed_of_a_revoked_reader_ends_by_itself(
    db: Db, database: Database, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_waiting, "LOOK_SECONDS", 0.01)
    async with Listening(db, reader=True) as feed:
        await until(lambda: database.changed.waiting == 1)
        door.revoked = True
        with pytest.raises(aiohttp.ClientPayloadError):
            await feed.read()


async def test_a_long_poll_that_was_revoked_while_it_waited_is_unauthorized(
    db: Db, database: Database, door: Door
) -> None:
    headers = {"Authorization": "reader"}
    query = {"feed": "longpoll", "timeout": "600000"}
    waiting = asyncio.ensure_future(db.call("GET", "/_changes", query=query, headers=headers))
    await until(lambda: database.changed.waiting == 1)
    door.revoked = True
    await db.push(replicated("battery:1", "1-a"))
    (await waiting).refused(401, "unauthorized")


async def test_feeds_that_wake_together_share_a_read(
    db: Db, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read_feed = reading.read_feed

    def counted(connection: sqlite3.Connection, *arguments: Any, **rest: Any) -> Any:
        nonlocal reads
        reads += 1
        return read_feed(connection, *arguments, **rest)

    monkeypatch.setattr(reading, "read_feed", counted)
    polls = [asyncio.ensure_future(db.changes(feed="longpoll", timeout="600000")) for _ in range(50)]
    await until(lambda: database.changed.waiting == 50)
    reads = 0
    await db.save("a")
    assert [feed["results"][0]["id"] for feed in await asyncio.gather(*polls)] == ["a"] * 50
    assert reads < 10


async def test_a_reader_that_leaves_does_not_end_the_read_it_shared(database: Database) -> None:
    both = [asyncio.ensure_future(database.feed(0, 10, Selection())) for _ in range(2)]
    await asyncio.sleep(0)
    both[0].cancel()
    assert (await both[1]).complete
    assert both[0].cancelled()
    assert database._feed_reads.under_way == 0


@pytest.mark.parametrize("selected", [None, ["b", "a", "c"]])
@pytest.mark.parametrize("descending", ["false", "true"])
@pytest.mark.parametrize("options", [{}, {"conflicts": "true"}])
async def test_large_documents_are_read_in_slices_and_shown_once_each(
    db: Db, selected: Sequence[str] | None, descending: str, options: dict[str, str]
) -> None:
    large = "x" * (SLICE_BYTES // 2 + 1)
    for doc_id in "abc":
        await db.save(doc_id, large=large)
    query = {"include_docs": "true", "descending": descending, **options}
    if selected is not None:
        query |= {"filter": "_doc_ids", "doc_ids": json.dumps(selected)}
    feed = await db.changes(**query)
    order = "cba" if descending == "true" else "abc"
    assert [(row["id"], row["doc"]["_id"], len(row["doc"]["large"])) for row in feed["results"]] == [
        (doc_id, doc_id, len(large)) for doc_id in order
    ]
    first = await db.changes(**query, limit="2")
    assert ([row["id"] for row in first["results"]], first["pending"]) == (list(order[:2]), 1)
    listed = (await db.post("/_all_docs", {"keys": ["c", "x", "a", "b", "c"]}, include_docs="true")).ok()
    assert [row.get("doc", {}).get("_id") for row in listed["rows"]] == ["c", None, "a", "b", "c"]
    wanted = {"docs": [{"id": doc_id} for doc_id in "cxab"]}
    rows = (await db.post("/_bulk_get", wanted)).ok()["results"]
    assert [row["docs"][0].get("ok", {}).get("_id") for row in rows] == ["c", None, "a", "b"]

"""Clients that come and go, and a server that stops: nothing is left waiting, nothing is lost."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from replication.http import feed_waiting
from replication.http.access import allow_everything
from replication.store.database import Database
from replication.store.registry import Registry
from tests.contract.couch import Couch, Db, embedded, fresh_database, replicated


@pytest.fixture
async def couch(registry: Registry, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Couch]:
    """The embedded store; fails when a handler ended in an exception."""
    async with embedded(registry, allow_everything) as couch:
        yield couch
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as db:
        yield db


@pytest.fixture
async def database(registry: Registry, db: Db) -> Database:
    """The same database from inside."""
    return await registry.open(db.name)


async def until(happened: Callable[[], bool]) -> None:
    """Let the event loop go on until it happened; the test's own timeout is the limit."""
    while not happened():  # noqa: ASYNC110 (what happens is in the server, which tells nobody)
        await asyncio.sleep(0.001)


def long_poll(db: Db, **query: str) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(db.changes(feed="longpoll", since="now", timeout="600000", **query))


async def raw_request(
    db: Db, method: str, path: str, body: bytes = b"", *, length: int | None = None
) -> asyncio.StreamWriter:
    """Send a request, or the beginning of one, and leave the answer unread."""
    url = db.url(path)
    assert url.host is not None
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"{method} {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return writer


async def test_waiting_feeds_are_forgotten_when_they_are_answered(db: Db, database: Database) -> None:
    polls = [long_poll(db) for _ in range(10)]
    await until(lambda: database.changed.waiting == 10)
    await db.save("a")
    await asyncio.gather(*polls)
    assert database.changed.waiting == 0


async def test_a_feed_whose_client_went_away_does_not_wait_on(
    db: Db, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_waiting, "LOOK_SECONDS", 0.01)
    for query in ("", "&heartbeat=10"):
        writer = await raw_request(db, "GET", f"/_changes?feed=longpoll&since=now&timeout=600000{query}")
        await until(lambda: database.changed.waiting == 1)
        writer.close()
        await until(lambda: database.changed.waiting == 0)


async def test_a_stopping_server_answers_its_waiting_feeds(
    db: Db, registry: Registry, database: Database
) -> None:
    await db.save("a")
    polls = [long_poll(db), long_poll(db, heartbeat="10")]
    await until(lambda: database.changed.waiting == 2)
    registry.stop_feeds()
    for feed in await asyncio.gather(*polls):
        assert feed["results"] == []
    answer = await db.get("/_changes", feed="longpoll", since="now", timeout="600000")
    assert answer.ok()["results"] == []


async def test_deleting_a_database_ends_its_waiting_feeds(couch: Couch, db: Db, database: Database) -> None:
    await db.save("a")
    polls = [long_poll(db), long_poll(db, heartbeat="10")]
    await until(lambda: database.changed.waiting == 2)
    (await db.delete("")).ok()
    for feed in await asyncio.gather(*polls):
        assert feed["results"] == []
    (await db.get("/_changes")).refused(404, "not_found")


async def test_a_recreated_database_does_not_answer_for_the_old_one(
    couch: Couch, db: Db, database: Database
) -> None:
    await db.save("a")
    since = (await db.changes())["last_seq"]
    poll = long_poll(db)
    await until(lambda: database.changed.waiting == 1)
    (await db.delete("")).ok()
    (await couch.call("PUT", f"/{db.name}")).ok(201)
    await db.save("b")
    assert (await poll)["last_seq"] == since
    assert [row["id"] for row in (await db.changes(since=since))["results"]] == ["b"]


async def test_a_client_that_leaves_while_it_sends_wedges_nothing(db: Db) -> None:
    for cut in (0, 1, 50, 5_000):
        body = json.dumps({"docs": [replicated("a", "1-a", x="y" * 20_000)], "new_edits": False}).encode()
        writer = await raw_request(db, "POST", "/_bulk_docs", body[:cut], length=len(body))
        writer.close()
        await writer.wait_closed()
    assert (await db.get("")).ok()["doc_count"] == 0
    await db.save("b")


async def test_a_client_that_leaves_before_its_answer_neither_loses_nor_wedges(
    db: Db, database: Database
) -> None:
    for number in range(30):
        body = json.dumps({"docs": [replicated(f"d{number}", "1-a")], "new_edits": False}).encode()
        writer = await raw_request(db, "POST", "/_bulk_docs", body)
        writer.close()
        await db.save(f"other{number}")
    stored = {row["id"] for row in (await db.changes())["results"]}
    assert stored >= {f"other{number}" for number in range(30)}
    meta = await database.meta()
    assert meta["doc_count"] == len(stored)


async def test_a_reader_that_leaves_in_the_middle_of_a_long_answer_wedges_nothing(db: Db) -> None:
    docs = [replicated(f"d{number:03}", "1-a", x="y" * 30_000) for number in range(200)]
    for start in range(0, 200, 50):
        await db.push(*docs[start : start + 50])
    wanted = json.dumps({"docs": [{"id": doc["_id"], "rev": "1-a"} for doc in docs]}).encode()
    for method, path, body in (
        ("GET", "/_changes?include_docs=true", b""),
        ("GET", "/_all_docs?include_docs=true", b""),
        ("POST", "/_bulk_get", wanted),
    ):
        writer = await raw_request(db, method, path, body)
        writer.transport.abort()
    feed = await db.changes(include_docs="true")
    assert [row["id"] for row in feed["results"]] == [doc["_id"] for doc in docs]


async def test_an_answer_that_fails_half_way_does_not_look_complete(
    db: Db, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = [replicated(f"d{number:03}", "1-a", x="y" * 30_000) for number in range(50)]
    await db.push(*docs)
    read = database.feed
    count = 0

    async def closed_half_way(*arguments: Any, **rest: Any) -> Any:
        nonlocal count
        count += 1
        if count == 4:
            database._readers.close()
        return await read(*arguments, **rest)

    monkeypatch.setattr(database, "feed", closed_half_way)
    async with db.session.get(db.url("/_changes", {"include_docs": "true"})) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_cancelled_handler_leaves_its_write_whole(registry: Registry) -> None:
    """With a server that cancels the handlers of clients that went away."""
    database = await registry.create("site")
    async with embedded(registry, allow_everything, handler_cancellation=True) as couch:
        db = Db(f"{couch.base}/site", couch.session, "site")
        for number in range(40):
            batch = [replicated(f"gone{number}-{part}", "1-a") for part in range(3)]
            body = json.dumps({"docs": batch, "new_edits": False}).encode()
            writer = await raw_request(db, "POST", "/_bulk_docs", body)
            for _ in range(number % 8):
                await asyncio.sleep(0)
            writer.transport.abort()
            await db.save(f"other{number}")
        stored = {row["id"] for row in (await db.changes())["results"]}
        assert stored >= {f"other{number}" for number in range(40)}
        # Each batch as a whole or not at all.
        gone = [doc_id for doc_id in stored if doc_id.startswith("gone")]
        assert len(gone) == 3 * len({doc_id.partition("-")[0] for doc_id in gone})
        meta = await database.meta()
        assert meta["update_seq"] == meta["doc_count"] == len(stored)

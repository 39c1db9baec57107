"""The feed of databases that were created, changed or deleted. Others may be at work on the same server."""

import asyncio
import json
from typing import Any

from replication.client import CouchClient
from tests.contract.couch import Couch, Db


async def updates_of(db: Db, couch: Couch, since: str = "0") -> tuple[list[str], str]:
    """What happened to the database, and where to go on."""
    told = (await couch.get("/_db_updates", since=since)).ok()
    return [row["type"] for row in told["results"] if row["db_name"] == db.name], told["last_seq"]


async def wait_for(couch: Couch, db: Db, kind: str, since: str) -> str:
    """Long polls until the event is there; where to go on."""
    while True:
        told = (await couch.get("/_db_updates", feed="longpoll", since=since, timeout="60000")).ok()
        since = told["last_seq"]
        if any((row["db_name"], row["type"]) == (db.name, kind) for row in told["results"]):
            return since


async def test_a_creation_an_update_and_a_deletion_are_told_one_after_the_other(couch: Couch, db: Db) -> None:
    since = await wait_for(couch, db, "created", "0")
    await db.save("a")
    since = await wait_for(couch, db, "updated", since)
    (await db.delete("")).ok()
    since = await wait_for(couch, db, "deleted", since)
    assert (await updates_of(db, couch, since))[0] == []


async def test_a_database_that_changed_often_is_told_once(couch: Couch, db: Db) -> None:
    for doc_id in "abc":
        await db.save(doc_id)
    await wait_for(couch, db, "updated", "0")
    assert (await updates_of(db, couch))[0] == ["updated"]


async def test_a_long_poll_from_now_wakes_at_the_next_update(couch: Couch, db: Db) -> None:
    _, since = await updates_of(db, couch)
    waiting = asyncio.ensure_future(wait_for(couch, db, "updated", since))
    await db.save("a")
    assert await waiting != since


async def test_a_long_poll_of_databases_ends_empty_at_its_timeout(couch: Couch, db: Db) -> None:
    told = (await couch.get("/_db_updates", feed="longpoll", since="now", timeout="50")).ok()
    assert "last_seq" in told


async def test_a_client_that_waits_is_told_the_names(couch: Couch, db: Db) -> None:
    client = CouchClient(couch.session, couch.base)

    async def told_of_it(since: str | None) -> str:
        while True:
            updates = await client.wait_for_updates(since, timeout_ms=60_000)
            assert not (updates.names and updates.last_seq == since)
            if db.name in updates.names:
                return updates.last_seq
            since = updates.last_seq

    waiting = asyncio.ensure_future(told_of_it(None))
    await db.save("a")
    since = await waiting
    waiting = asyncio.ensure_future(told_of_it(since))
    await db.save("b")
    await waiting


async def test_a_continuous_feed_of_databases_goes_on(couch: Couch, db: Db) -> None:
    async def next_of_ours(content: Any) -> Any:
        while line := await content.readline():
            if line.strip() and (row := json.loads(line)).get("db_name") == db.name:
                return row
        raise AssertionError("the feed ended")

    query = {"feed": "continuous", "since": "0", "heartbeat": "50"}
    async with couch.session.get(couch.url("/_db_updates", query)) as response:
        assert (await next_of_ours(response.content))["type"] == "created"
        await db.save("a")
        assert (await next_of_ours(response.content))["type"] == "updated"

"""Feeds that go on: `continuous` with a row a line, `eventsource` for browsers."""

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import pytest

from tests.contract.couch import Db, replicated


async def next_row(feed: aiohttp.StreamReader) -> Any:
    """The next line that is no heartbeat."""
    while True:
        line = await feed.readline()
        assert line, "the feed ended"
        if line.strip():
            return json.loads(line)


async def events(feed: aiohttp.StreamReader, count: int) -> list[dict[str, str]]:
    """The next events by their fields; heartbeats are none."""
    found: list[dict[str, str]] = []
    while len(found) < count:
        fields = {}
        while line := (await feed.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        if fields and fields.get("event") != "heartbeat":
            found.append(fields)
    return found


async def test_a_continuous_feed_tells_what_is_there_and_what_comes(db: Db) -> None:
    first = await db.save("a")
    async with db.listen(feed="continuous", timeout="60000") as feed:
        row = await next_row(feed)
        assert row == {"seq": row["seq"], "id": "a", "changes": [{"rev": first}]}
        await db.save("b")
        assert (await next_row(feed))["id"] == "b"
        gone = await db.remove("a", first)
        row = await next_row(feed)
        assert (row["id"], row["changes"], row["deleted"]) == ("a", [{"rev": gone}], True)
        await db.save("c")
        assert (await next_row(feed))["id"] == "c"
    assert [later["id"] for later in (await db.changes(since=row["seq"]))["results"]] == ["c"]


@pytest.mark.parametrize("feed", ["continuous", "live"])
async def test_a_continuous_feed_ends_with_its_last_sequence_when_nothing_happens(db: Db, feed: str) -> None:
    await db.save("a")
    answer = await db.get("/_changes", feed=feed, timeout="50")
    row, end = [json.loads(line) for line in answer.body.splitlines() if line]
    assert (row["id"], end["pending"]) == ("a", 0)
    assert (await db.changes(since=end["last_seq"]))["results"] == []


async def test_a_continuous_feed_from_now_tells_only_what_comes(db: Db) -> None:
    await db.save("a")
    async with db.listen(feed="continuous", since="now", heartbeat="20") as feed:
        await feed.readline()
        await db.save("b")
        assert (await next_row(feed))["id"] == "b"


async def test_a_continuous_feed_ends_at_its_limit(db: Db) -> None:
    for doc_id in "abc":
        await db.save(doc_id)
    answer = await db.get("/_changes", feed="continuous", limit="2", timeout="1000")
    *rows, end = [json.loads(line) for line in answer.body.splitlines() if line]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert [row["id"] for row in (await db.changes(since=end["last_seq"]))["results"]] == ["c"]


async def test_a_heartbeat_keeps_a_continuous_feed_alive(db: Db) -> None:
    async with db.listen(feed="continuous", heartbeat="20", timeout="1") as feed:
        for _ in range(4):
            assert await feed.readline() == b"\n"
        await db.save("a")
        assert (await next_row(feed))["id"] == "a"
        assert await feed.readline() == b"\n"


async def test_a_continuous_feed_shows_leaves_and_documents(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a", x=1), replicated("a", "2-a", "1-a", x=2))
    query = {"style": "all_docs", "include_docs": "true", "conflicts": "true"}
    async with db.listen(feed="continuous", timeout="60000", **query) as feed:
        row = await next_row(feed)
        assert row["changes"] == [{"rev": "2-b"}, {"rev": "2-a"}]
        assert row["doc"] == {"_id": "a", "_rev": "2-b", "x": 1, "_conflicts": ["2-a"]}
        await db.push(replicated("b", "1-a", y=2))
        assert (await next_row(feed))["doc"] == {"_id": "b", "_rev": "1-a", "y": 2}


async def test_a_continuous_feed_of_named_documents_passes_over_the_others(db: Db) -> None:
    query = {"filter": "_doc_ids", "doc_ids": '["mine"]'}
    async with db.listen(feed="continuous", timeout="60000", heartbeat="1000", **query) as feed:
        await db.save("other")
        await db.save("mine")
        assert (await next_row(feed))["id"] == "mine"


async def test_many_continuous_feeds_hear_every_change(db: Db) -> None:
    async def hear(count: int) -> list[str]:
        async with db.listen(feed="continuous", timeout="60000") as feed:
            return [(await next_row(feed))["id"] for _ in range(count)]

    listening = [asyncio.ensure_future(hear(10)) for _ in range(20)]
    saved = []
    for number in range(10):
        saved.append(f"d{number}")
        await db.save(f"d{number}")
    assert await asyncio.gather(*listening) == [saved] * 20


async def test_an_event_is_a_row_with_its_sequence_as_id(db: Db) -> None:
    rev = await db.save("a")
    async with db.listen(feed="eventsource", timeout="60000") as feed:
        (event,) = await events(feed, 1)
        row = json.loads(event["data"])
        assert row == {"seq": json.loads(event["id"]), "id": "a", "changes": [{"rev": rev}]}
        await db.save("b")
        (event,) = await events(feed, 1)
        assert json.loads(event["data"])["id"] == "b"


async def test_a_browser_that_connects_again_goes_on_where_it_was(db: Db) -> None:
    await db.save("a")
    await db.save("b")
    first = (await db.changes(limit="1"))["last_seq"]
    answer = await db.call(
        "GET",
        "/_changes",
        query={"feed": "eventsource", "timeout": "50", "since": "0"},
        headers={"Last-Event-ID": first},
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    data = [line for line in answer.body.splitlines() if line.startswith(b"data: {")]
    assert [json.loads(line[6:])["id"] for line in data] == ["b"]


async def test_events_have_heartbeats_of_their_own(db: Db) -> None:
    async with db.listen(feed="eventsource", heartbeat="20", since="now") as feed:
        seen = b""
        while seen.count(b"event: heartbeat\ndata: \n\n") < 2:
            seen += await feed.readany()
        await db.save("a")
        (event,) = await events(feed, 1)
        assert json.loads(event["data"])["id"] == "a"


async def test_a_feed_of_no_known_kind_is_refused(db: Db) -> None:
    (await db.get("/_changes", feed="sometimes")).refused(400, "bad_request")


async def test_an_interval_leaves_sequences_out(db: Db) -> None:
    for number in range(7):
        await db.save(f"d{number}")
    rows = (await db.changes(seq_interval="3"))["results"]
    told = [at for at, row in enumerate(rows) if row["seq"] is not None]
    assert len(told) in (2, 3)
    assert {later - earlier for earlier, later in itertools.pairwise(told)} == {3}
    rest = await db.changes(since=rows[told[0]]["seq"])
    assert len(rest["results"]) == 7 - told[0] - 1


@pytest.mark.parametrize("interval", ["0", "-1", "x", ""])
async def test_an_interval_that_is_none_is_refused(db: Db, interval: str) -> None:
    refused = await db.get("/_changes", seq_interval=interval)
    assert refused.refused(400, "bad_request") == "invalid_seq_interval"

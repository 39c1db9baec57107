"""The changes feed: every document once, at its last change, in the order of the changes."""

import asyncio
import json
from typing import Any

import pytest

from tests.contract.couch import Db, replicated


def ids(feed: Any) -> list[str]:
    return [row["id"] for row in feed["results"]]


async def test_an_empty_database_has_an_empty_feed(db: Db) -> None:
    feed = await db.changes()
    assert (feed["results"], feed["pending"]) == ([], 0)
    assert "last_seq" in feed


async def test_each_document_shows_once_where_it_changed_last(db: Db) -> None:
    first = await db.save("a")
    await db.save("b")
    second = await db.save("a", _rev=first)
    feed = await db.changes()
    assert ids(feed) == ["b", "a"]
    row = feed["results"][1]
    assert row == {"seq": row["seq"], "id": "a", "changes": [{"rev": second}]}
    assert feed["last_seq"] == row["seq"]


async def test_a_deletion_is_a_change(db: Db) -> None:
    gone = await db.remove("a", await db.save("a"))
    (row,) = (await db.changes())["results"]
    assert row == {"seq": row["seq"], "id": "a", "changes": [{"rev": gone}], "deleted": True}


async def test_a_feed_goes_on_where_it_ended(db: Db) -> None:
    for doc_id in "abc":
        await db.save(doc_id)
    seen: list[str] = []
    since = "0"
    for left in (2, 1, 0):
        page = await db.changes(since=since, limit="1")
        seen += ids(page)
        assert page["pending"] == left
        since = page["last_seq"]
    assert seen == ["a", "b", "c"]
    end = await db.changes(since=since)
    assert (end["results"], end["pending"]) == ([], 0)
    await db.save("d")
    assert ids(await db.changes(since=end["last_seq"])) == ["d"]


async def test_a_feed_goes_on_after_any_of_its_rows(db: Db) -> None:
    for doc_id in "abc":
        await db.save(doc_id)
    rows = (await db.changes())["results"]
    assert ids(await db.changes(since=rows[0]["seq"])) == ["b", "c"]
    assert ids(await db.changes(since=rows[2]["seq"])) == []


async def test_a_limit_of_zero_tells_what_is_pending(db: Db) -> None:
    await db.save("a")
    await db.save("b")
    feed = await db.changes(limit="0")
    assert (ids(feed), feed["pending"]) == ([], 2)
    assert ids(await db.changes(since=feed["last_seq"])) == ["a", "b"]


async def test_since_now_is_after_everything(db: Db) -> None:
    await db.save("a")
    now = await db.changes(since="now")
    assert ids(now) == []
    await db.save("b")
    assert ids(await db.changes(since=now["last_seq"])) == ["b"]


@pytest.mark.parametrize("since", ["nonsense", "-", "x-y", "1.5", "1", "-1"])
async def test_a_sequence_that_nobody_handed_out_is_refused(db: Db, since: str) -> None:
    (await db.get("/_changes", since=since)).refused(400, "bad_request")


async def test_a_row_names_the_winner_or_all_leaves(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a"), replicated("a", "2-c", "1-a"), replicated("a", "1-x"))
    await db.push(replicated("a", "3-z", "2-y", _deleted=True))
    (row,) = (await db.changes())["results"]
    assert row["changes"] == [{"rev": "2-c"}]
    (row,) = (await db.changes(style="all_docs"))["results"]
    assert row["changes"][0] == {"rev": "2-c"}
    assert {leaf["rev"] for leaf in row["changes"]} == {"2-c", "2-b", "1-x", "3-z"}
    assert "deleted" not in row


async def test_newest_first(db: Db) -> None:
    for doc_id in "abc":
        await db.save(doc_id)
    assert ids(await db.changes(descending="true")) == ["c", "b", "a"]
    last = await db.changes(descending="true", limit="1")
    assert (ids(last), last["pending"]) == (["c"], 2)
    for since in ("now", last["last_seq"]):
        assert ids(await db.changes(descending="true", since=since)) == ["c", "b", "a"]


async def test_a_feed_may_carry_the_documents(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a", x=1), replicated("a", "2-a", "1-a", x=2))
    await db.push(replicated("b", "2-b", "1-a", _deleted=True))
    a, b = (await db.changes(include_docs="true"))["results"]
    assert a["doc"] == {"_id": "a", "_rev": "2-b", "x": 1}
    assert b["doc"] == {"_id": "b", "_rev": "2-b", "_deleted": True}
    a, _ = (await db.changes(include_docs="true", conflicts="true"))["results"]
    assert a["doc"]["_conflicts"] == ["2-a"]


async def test_a_feed_of_named_documents(db: Db) -> None:
    for doc_id in ("a", "b", "é", "c"):
        await db.save(doc_id)
    named = json.dumps(["é", "a", "unknown"])
    assert sorted(ids(await db.changes(filter="_doc_ids", doc_ids=named))) == ["a", "é"]
    answer = await db.post("/_changes", {"doc_ids": ["é", "a"]}, filter="_doc_ids")
    assert sorted(ids(answer.ok())) == ["a", "é"]
    answer = await db.post("/_changes", {"doc_ids": []}, filter="_doc_ids")
    assert ids(answer.ok()) == []


async def test_a_feed_of_named_documents_goes_on_after_the_others(db: Db) -> None:
    for doc_id in "abcd":
        await db.save(doc_id)
    first = (await db.post("/_changes", {"doc_ids": ["a"]}, filter="_doc_ids")).ok()
    assert (await db.post("/_changes", {"doc_ids": ["a"]}, filter="_doc_ids", since=first["last_seq"])).ok()[
        "results"
    ] == []


@pytest.mark.parametrize("named", ["", "a", '"a"', "{}", "5"])
async def test_names_that_cannot_be_read_are_refused(db: Db, named: str) -> None:
    (await db.get("/_changes", filter="_doc_ids", doc_ids=named)).refused(400, "bad_request")


async def test_a_posted_question_is_a_question_like_any_other(db: Db) -> None:
    for doc_id in "abc":
        await db.save(doc_id)
    assert ids((await db.post("/_changes", {}, limit="2")).ok()) == ["a", "b"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"},
        {"limit": "x"},
        {"timeout": "-1"},
        {"timeout": "x"},
        {"heartbeat": "0"},
        {"heartbeat": "-1"},
        {"heartbeat": "soon"},
    ],
)
async def test_a_number_that_is_none_is_refused(db: Db, query: dict[str, str]) -> None:
    (await db.call("GET", "/_changes", query={"feed": "longpoll", **query})).refused(400, "bad_request")


async def test_a_long_poll_answers_at_once_with_what_is_there(db: Db) -> None:
    await db.save("a")
    assert ids(await db.changes(feed="longpoll")) == ["a"]


async def test_a_long_poll_waits_for_the_next_change(db: Db) -> None:
    await db.save("a")
    since = (await db.changes())["last_seq"]
    waiting = asyncio.ensure_future(db.changes(feed="longpoll", since=since, timeout="60000"))
    await db.save("b")
    feed = await waiting
    assert ids(feed) == ["b"]
    assert ids(await db.changes(since=feed["last_seq"])) == []


async def test_a_long_poll_ends_empty_at_its_timeout(db: Db) -> None:
    await db.save("a")
    since = (await db.changes())["last_seq"]
    feed = await db.changes(feed="longpoll", since=since, timeout="50")
    assert ids(feed) == []
    await db.save("b")
    assert ids(await db.changes(since=feed["last_seq"])) == ["b"]


async def test_many_long_polls_wake_together(db: Db) -> None:
    since = (await db.changes())["last_seq"]
    waiting = [
        asyncio.ensure_future(db.changes(feed="longpoll", since=since, timeout="60000")) for _ in range(20)
    ]
    await db.save("a")
    assert [ids(feed) for feed in await asyncio.gather(*waiting)] == [["a"]] * 20


async def test_a_heartbeat_keeps_a_long_poll_alive(db: Db) -> None:
    since = (await db.changes())["last_seq"]
    url = db.url("/_changes", {"feed": "longpoll", "since": since, "heartbeat": "20"})
    async with db.session.get(url) as response:
        assert response.status == 200
        begun = b""
        while begun.count(b"\n") < 5:
            begun += await response.content.readany()
        assert begun.split() == [b'{"results":[']
        await db.save("a")
        assert ids(json.loads(begun + await response.read())) == ["a"]


async def test_a_long_poll_of_named_documents_sleeps_through_other_changes(db: Db) -> None:
    since = (await db.changes())["last_seq"]
    query = {"feed": "longpoll", "since": since, "timeout": "60000", "filter": "_doc_ids"}
    waiting = asyncio.ensure_future(db.post("/_changes", {"doc_ids": ["mine"]}, **query))
    for number in range(5):
        await db.save(f"other{number}")
    assert not waiting.done()
    await db.save("mine")
    assert ids((await waiting).ok()) == ["mine"]


async def test_the_head_of_a_feed_is_no_feed(db: Db) -> None:
    await db.save("a")
    answer = await db.call("HEAD", "/_changes")
    assert (answer.status, answer.body) == (200, b"")

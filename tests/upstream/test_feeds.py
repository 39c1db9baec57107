"""The changes feed of a caller who sees part of the documents, in every mode; and line by line."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from replication.errors import Unavailable
from replication.upstream.feed_lines import ContinuousLines, EventLines, Lines, ListedLines, LongpollLines
from tests.contract.behind import gateway_before
from tests.contract.couch import Couch, Db, fresh_database, replicated
from tests.upstream.scripted import Visits, only


@pytest.fixture
async def db(behind: Couch) -> AsyncIterator[Db]:
    """A database as its owner sees it: visits among sessions, one in two leaves, one deleted."""
    async with fresh_database(behind) as database:
        await database.push(
            *(replicated(f"{kind}:{n}", "1-a") for n in range(4) for kind in ("session", "visit")),
            replicated("visit:1", "1-b"),
            replicated("visit:2", "2-c", "1-a", _deleted=True),
            replicated("visit", "1-a"),
            replicated("Visit:x", "1-a"),
            replicated("studyxx:1", "1-a"),
        )
        yield database


@pytest.fixture
async def tablet(behind: Couch, db: Db) -> AsyncIterator[Db]:
    """The same database as a tablet sees it."""
    headers = {name: text for name, text in behind.session.headers.items() if name == "Authorization"}
    async with gateway_before(behind.base, only(Visits()), headers=lambda: headers) as couch:
        yield Db(f"{couch.base}/{db.name}", couch.session, db.name)


SEEN = {"visit:0", "visit:1", "visit:2", "visit:3"}


def ids(feed: Any) -> list[str]:
    return [row["id"] for row in feed["results"]]


async def test_a_feed_shows_what_may_be_seen_and_ends_where_it_is(tablet: Db, db: Db) -> None:
    feed = await tablet.changes(style="all_docs")
    assert set(ids(feed)) == SEEN
    leaves = {row["id"]: sorted(leaf["rev"] for leaf in row["changes"]) for row in feed["results"]}
    assert leaves["visit:1"] == ["1-a", "1-b"]
    assert [row["id"] for row in feed["results"] if row.get("deleted")] == ["visit:2"]
    assert ids(await tablet.changes(since=feed["last_seq"])) == []
    await db.push(replicated("visit:9", "1-a"), replicated("session:9", "1-a"))
    assert ids(await tablet.changes(since=feed["last_seq"])) == ["visit:9"]


async def test_limit_counts_what_is_shown_and_pages_meet(tablet: Db) -> None:
    seen: list[str] = []
    since = "0"
    while page := (await tablet.changes(since=since, limit="3"))["results"]:
        assert len(page) <= 3
        seen += [row["id"] for row in page]
        since = page[-1]["seq"]
    assert sorted(seen) == sorted(SEEN)
    backwards = await tablet.changes(descending="true", limit="2")
    assert ids(backwards) == seen[::-1][:2]
    shown = await tablet.changes(include_docs="true", limit="1")
    assert shown["results"][0]["doc"]["_id"] == shown["results"][0]["id"]


async def test_filters_of_the_caller_narrow_what_may_be_seen_and_never_widen_it(tablet: Db) -> None:
    named = {"doc_ids": ["visit:0", "session:0"]}
    assert ids((await tablet.post("/_changes", named, filter="_doc_ids")).ok()) == ["visit:0"]
    listed = json.dumps(named["doc_ids"])
    assert ids(await tablet.changes(filter="_doc_ids", doc_ids=listed)) == ["visit:0"]
    either = {"selector": {"_id": {"$in": ["visit:3", "session:3"]}}}
    assert ids((await tablet.post("/_changes", either, filter="_selector")).ok()) == ["visit:3"]
    assert set(ids((await tablet.post("/_changes", named)).ok())) == SEEN
    assert ids(await tablet.changes(filter="_design")) == []
    twice = "filter=_doc_ids&doc_ids=[]&filter=_design&doc_ids=%5B%22session:0%22%5D"
    answer = await tablet.call("GET", f"/_changes?{twice}")
    assert ids(answer.ok()) == []
    for query in ({"filter": "d/f"}, {"filter": "_view", "view": "d/v"}):
        (await tablet.get("/_changes", **query)).refused(403, "forbidden")
    (await tablet.get("/_changes", filter="_other")).refused(400, "bad_request")
    (await tablet.get("/_changes", feed="other")).refused(400, "bad_request")
    (await tablet.get("/_changes", filter="_doc_ids")).refused(400, "bad_request")
    assert (await tablet.call("HEAD", "/_changes")).body == b""


async def test_a_long_poll_is_woken_by_what_may_be_seen_only(tablet: Db, db: Db) -> None:
    since = (await tablet.changes())["last_seq"]
    waiting = asyncio.create_task(tablet.changes(feed="longpoll", since=since))
    from_now = asyncio.create_task(tablet.changes(feed="longpoll", since="now"))
    await asyncio.sleep(0.3)
    await db.push(replicated("session:8", "1-a"))
    done, _ = await asyncio.wait([waiting, from_now], timeout=0.2)
    assert not done
    await db.push(replicated("visit:8", "1-a"))
    assert ids(await waiting) == ids(await from_now) == ["visit:8"]
    over = await tablet.changes(feed="longpoll", since="now", timeout="50")
    assert ids(over) == []


@pytest.mark.parametrize("feed", ["continuous", "eventsource"])
async def test_a_live_feed_goes_on_row_by_row_and_beats(tablet: Db, db: Db, feed: str) -> None:
    async with tablet.listen(feed=feed, heartbeat="50", since="0") as lines:
        seen: list[str] = []
        beats = 0
        while len(seen) < 5 or not beats:
            line = await lines.readline()
            text = line.removeprefix(b"data:").strip()
            beats += line.strip() in (b"", b"event: heartbeat") and len(seen) >= 4
            if text.startswith(b"{"):
                seen.append(json.loads(text)["id"])
            if len(seen) == 4:
                await db.push(replicated("session:7", "1-a"), replicated("visit:7", "1-a"))
    assert set(seen[:4]) == SEEN
    assert seen[4] == "visit:7"


async def test_bulk_get_and_documents_show_what_may_be_read(tablet: Db) -> None:
    asked = {
        "docs": [{"id": "session:0"}, {"id": "visit:0", "rev": "1-a"}, {"id": "visit:0", "rev": "7-x"}, 3]
    }
    rows = (await tablet.post("/_bulk_get", asked, revs="true")).ok()["results"]
    told = [(row["id"], *row["docs"][0]) for row in rows]
    assert told == [("session:0", "error"), (None, "error"), ("visit:0", "ok"), ("visit:0", "error")]
    assert rows[0]["docs"][0]["error"]["error"] == "forbidden"
    hidden = (await tablet.post("/_bulk_get", {"docs": [{"id": "session:0"}]})).ok()["results"]
    assert [row["docs"][0]["error"]["error"] for row in hidden] == ["forbidden"]
    assert (await tablet.post("/_bulk_get", {"docs": []})).ok()["results"] == []
    (await tablet.get("/session:0")).refused(403, "forbidden")
    (await tablet.get("/session:0", open_revs="all")).refused(403, "forbidden")
    (await tablet.get("/session:0/a")).refused(403, "forbidden")
    assert (await tablet.get("/visit:0")).ok()["_rev"] == "1-a"
    assert len((await tablet.get("/visit:1", open_revs="all")).ok()) == 2
    (await tablet.get("/_local/projector")).refused(403, "forbidden")
    (await tablet.put("/_local/mine", {"n": 1})).ok(201)
    assert (await tablet.get("/_local/mine")).ok()["n"] == 1
    (await tablet.put("/_local/mine", {"n": "x" * 2**21})).refused(413, "too_large")


ROW = b'{"seq":"3-x","id":"visit:1","changes":[{"rev":"1-a"}]}'
HIDDEN = b'{"seq":"4-x","id":"session:1","changes":[{"rev":"1-a"}]}'
LISTED = b'{"results":[\n' + b",\n".join([HIDDEN, ROW, HIDDEN, ROW]) + b'\n],\n"last_seq":"9","pending":0}\n'
SHOWN = {"results": [json.loads(ROW)] * 2, "last_seq": "9", "pending": 0}


def passed(lines: Lines, text: bytes, size: int) -> bytes:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return b"".join(map(lines.feed, pieces)) + lines.close()


def may_see(doc_id: str) -> bool:
    return doc_id.startswith("visit:")


@pytest.mark.parametrize("size", [1, 7, 60, 10_000])
def test_rows_pass_however_the_network_cuts_them(size: int) -> None:
    assert json.loads(passed(ListedLines(may_see), LISTED, size)) == SHOWN
    in_one_line = LISTED.replace(b"\n", b"")
    assert json.loads(passed(ListedLines(may_see), in_one_line, size)) == SHOWN
    spaced = LISTED.replace(b",\n", b"\n,\n").replace(b"]\n,", b"],")
    assert json.loads(passed(ListedLines(may_see), b"\n" + spaced, size)) == SHOWN
    empty = b'{"results":[\n\n],\n"last_seq":"9","pending":0}\n'
    assert json.loads(passed(ListedLines(may_see), empty, size)) == {**SHOWN, "results": []}
    continuous = b"\n".join([HIDDEN, ROW, b"", b'{"last_seq":"9","pending":0}', b""])
    assert passed(ContinuousLines(may_see), continuous, size) == ROW + b'\n\n{"last_seq":"9","pending":0}\n'
    event = b"data: " + ROW + b"\nid: 3-x\n\n"
    beat = b"event: heartbeat\ndata: \n\n"
    events = b"data: " + HIDDEN + b"\nid: 4-x\n\n" + beat + event
    assert passed(EventLines(may_see), events, size) == beat + event


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (ListedLines, LISTED[:-20]),
        (ListedLines, LISTED[:100]),
        (ListedLines, b""),
        (ListedLines, b'{"error":"x","reason":"y"}\n'),
        (ListedLines, b'{"results":[\n{"error":"timeout"\n'),
        (ListedLines, b"<html>\n"),
        (ContinuousLines, ROW),
        (ContinuousLines, b"<html>\n"),
        (EventLines, b"data: <html>\n\n"),
    ],
)
def test_what_is_no_complete_feed_is_a_failure(lines: type[Lines], text: bytes) -> None:
    with pytest.raises(Unavailable):
        passed(lines(may_see), text, 50)


BEGUN = b'{"results":[\n'


@pytest.mark.parametrize(
    ("lines", "came", "ending"),
    [
        (ListedLines, b"", None),
        (ListedLines, BEGUN, None),
        (ListedLines, BEGUN + ROW + b",\n", None),
        (LongpollLines, b"", {"results": [], "last_seq": "0"}),
        (LongpollLines, BEGUN + HIDDEN + b",\n", {"results": [], "last_seq": "4-x"}),
        (LongpollLines, BEGUN + ROW + b",\n", None),
        (LongpollLines, LISTED, None),
        (ContinuousLines, b"", {"last_seq": "0"}),
        (ContinuousLines, HIDDEN + b"\n", {"last_seq": "4-x"}),
    ],
)
def test_a_feed_is_ended_before_its_end_only_where_it_does_not_look_complete_then(
    lines: type[Lines], came: bytes, ending: object
) -> None:
    feed = lines(may_see, b'"0"')
    text = feed.feed(came)
    told = feed.ending()
    assert (told if told is None else json.loads(text + told)) == ending


def test_a_feed_from_now_on_has_no_sequence_to_end_with_before_its_first_row() -> None:
    assert LongpollLines(may_see).ending() is None
    assert ContinuousLines(may_see).ending() is None

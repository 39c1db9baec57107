"""Requests that no honest client sends: each gets an answer in CouchDB's shape, and the next one too."""

import asyncio
import gzip
import itertools
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from replication.http.access import allow_everything
from replication.store.registry import Registry
from tests.contract.couch import JSON, Answer, Couch, Db, embedded, fresh_database, replicated
from tests.replication.json_texts import nested


@pytest.fixture
async def couch(registry: Registry, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Couch]:
    """The embedded store; fails when a handler ended in an exception."""
    async with embedded(registry, allow_everything) as couch:
        yield couch
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as db:
        await db.push(replicated("a", "2-b", "1-a", x=1))
        yield db


def served(answer: Answer, *, head: bool = False) -> None:
    """Answered properly: with a success, or with an error that says what is wrong with the request."""
    assert answer.status < 500 or answer.status == 501, (answer.status, answer.body)
    if answer.status >= 400 and not head:
        told = answer.json
        assert isinstance(told["error"], str)
        assert isinstance(told["reason"], str)


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**40, "", "a", "\u0000",
    [], [None], [[]], {}, {"a": 1}, {"a": [1]}, {"a": [None]},
)  # fmt: skip
READS = ("/_bulk_get", "/_revs_diff", "/_all_docs", "/_changes?filter=_doc_ids")


async def test_any_json_may_come_in_any_body(db: Db) -> None:
    for path in (*READS, "/_bulk_docs", "", "/_changes", "/_ensure_full_commit"):
        for value in VALUES:
            served(await db.call("POST", path, data=json.dumps(value).encode(), headers=JSON))
    for path in ("/x", "/_local/x", "/_design/x"):
        for value in VALUES:
            served(await db.call("PUT", path, data=json.dumps(value).encode(), headers=JSON))


async def test_any_json_may_come_as_any_member(db: Db) -> None:
    members = ("_id", "_rev", "_deleted", "_revisions", "_attachments", "_conflicts", "_x", "type", "schema")
    for member, value in itertools.product(members, VALUES):
        document = {"_id": "x", "_rev": "1-a"} | {member: value}
        for new_edits in (True, False):
            answer = await db.post("/_bulk_docs", {"docs": [document], "new_edits": new_edits})
            assert answer.status == 201, (member, value, answer.body)
        served(await db.put("/y", {member: value}))
        served(await db.put("/_local/y", {member: value}))
    for member, value in itertools.product(("docs", "keys", "doc_ids", "new_edits", "id", "rev"), VALUES):
        for path in (*READS, "/_bulk_docs"):
            served(await db.post(path, {member: value}))
            served(await db.post(path, {"docs": [{member: value}, {"id": "a", member: value}]}))
    for name, value in itertools.product(
        ("data", "stub", "digest", "length", "revpos", "content_type"), VALUES
    ):
        attachment = {"data": "aGk=", "content_type": "text/plain"} | {name: value}
        document = replicated("z", "1-a", _attachments={"f": attachment})
        assert (await db.post("/_bulk_docs", {"docs": [document], "new_edits": False})).status == 201
        served(await db.get("/z/f"))
    assert (await db.get("/a")).ok()["x"] == 1


PARAMETERS = [
    "rev",
    "revs",
    "revs_info",
    "conflicts",
    "open_revs",
    "latest",
    "attachments",
    "meta",
    "new_edits",
    "since",
    "limit",
    "feed",
    "style",
    "timeout",
    "heartbeat",
    "descending",
    "include_docs",
    "filter",
    "doc_ids",
    "keys",
    "key",
    "startkey",
    "endkey",
    "skip",
    "inclusive_end",
    "batch",
]
TEXTS = (
    "",
    "true",
    "0",
    "-1",
    "9" * 30,
    "1e3",
    "null",
    '"',
    '"a"',
    "[]",
    "[1]",
    '["1-a"]',
    "a\x00b",
    "é",
    "٣",
    "1-a",
)
RAW_TEXTS = ("%FF", "%C3", "%00", "%", "%zz", "+", "%ED%A0%80", "9" * 5_000, "%5B" * 600, "[" * 600)


async def test_any_text_may_come_as_any_parameter(db: Db) -> None:
    paths = ("/a", "/_changes", "/_all_docs", "/a/f", "")
    for parameter, text in itertools.product(PARAMETERS, TEXTS):
        for path in paths:
            # Without this a long poll would wait as long as it is told to.
            query = {parameter: text} | ({} if parameter in ("timeout", "feed") else {"feed": "normal"})
            served(await db.call("GET", path, query=query))
    for parameter, text in itertools.product(PARAMETERS, RAW_TEXTS):
        for path in paths:
            served(await db.call("GET", f"{path}?{parameter}={text}&{parameter}=true&{parameter}"))


async def test_numbers_may_be_as_large_as_a_url(db: Db) -> None:
    since = (await db.changes())["last_seq"]
    for large in ("9" * 18, "9" * 19, "9" * 400, "0" * 400):
        assert len((await db.changes(limit=f"1{large}"))["results"]) == 1
        assert len((await db.get("/_all_docs", limit=f"1{large}")).ok()["rows"]) == 1
        assert (await db.get("/_all_docs", skip=f"1{large}")).ok()["rows"] == []
        assert len((await db.changes(since=f"1{large}-{since.partition('-')[2]}"))["results"]) == 1
        (await db.get("/a", rev=f"1{large}-a")).refused(400, "bad_request")
        query = {"feed": "longpoll", "timeout": f"1{large}", "heartbeat": f"1{large}"}
        assert len((await db.changes(**query))["results"]) == 1
        waiting = asyncio.ensure_future(db.changes(**query, since="now"))
        await asyncio.sleep(0)
        await db.push(replicated("a", f"3-{large[:9]}", "2-b"))
        served(await db.get("/a"))
        waiting.cancel()


@pytest.mark.parametrize(
    "path", ["/%FF", "/a%C3", "/%ED%A0%80", "/_local/%FF", "/_design/%FF", "/a/%FF", "/a%FF/f"]
)
async def test_a_path_that_is_no_text_is_refused(db: Db, path: str) -> None:
    """Read leniently, `%FF` and `%25FF` would be one document."""
    for method in ("GET", "PUT", "DELETE"):
        answer = await db.call(method, path, body={} if method == "PUT" else None)
        answer.refused(400, "bad_request")


@pytest.mark.parametrize(
    "path",
    [
        "/%00", "/a%00b", "/%0A", "/%20", "/..", "/%2E%2E", "/..%2F..%2Fetc", "/%2F", "/a%2F", "/%25",
        "/%7B%7D", "/_design", "/_design/", "/_local", "/_local/", "/_design/a/b", "/_local/a/b", "/_x",
        "/_x/y", "/_security", "/a/b%00c", "/a/%0A", "/a//b", "//", "/%F0%9D%84%9E", "/" + "x" * 4_000,
        "/" + "%2F" * 1_000,
    ],
)  # fmt: skip
async def test_any_path_is_answered(couch: Couch, db: Db, path: str) -> None:
    for target, method in itertools.product(
        (couch, db), ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "PATCH")
    ):
        answer = await target.call(method, path, body={} if method in ("PUT", "POST") else None)
        assert answer.status < 500, (method, path, answer.status, answer.body)


@pytest.mark.parametrize(
    "doc_id", ["a\x00b", "line\nbreak", "\x7f", "a\u2028b", "x" * 512, "%", "/", "..", "."]
)
async def test_strange_ids_are_one_document_by_every_way(db: Db, doc_id: str) -> None:
    await db.push(replicated(doc_id, "1-a", x=doc_id))
    (row,) = (await db.post("/_bulk_get", {"docs": [{"id": doc_id}]})).ok()["results"]
    assert row["docs"][0]["ok"] == {"_id": doc_id, "_rev": "1-a", "x": doc_id}
    (row,) = (await db.post("/_all_docs", {"keys": [doc_id]}, include_docs="true")).ok()["rows"]
    assert row["doc"]["x"] == doc_id
    feed = (await db.post("/_changes", {"doc_ids": [doc_id]}, filter="_doc_ids")).ok()
    assert [row["id"] for row in feed["results"]] == [doc_id]
    assert (await db.post("/_revs_diff", {doc_id: ["1-a"]})).ok() == {}


@pytest.mark.parametrize(
    "text", [b'{"a":' + nested(5_000) + b"}", nested(100_000), b"[" * 100_000, b'{"a":"\\ud800"}']
)
async def test_no_body_is_too_deep_to_be_answered(db: Db, text: bytes) -> None:
    for path in (*READS, "/_bulk_docs", ""):
        served(await db.call("POST", path, data=text, headers=JSON))
    for path in ("/x", "/_local/x"):
        served(await db.call("PUT", path, data=text, headers=JSON))
    served(await db.get("/_all_docs", keys=text[:2_000].decode()))


async def test_a_deep_document_that_is_put_is_forbidden(db: Db) -> None:
    answer = await db.call("PUT", "/x", data=b'{"x":' + nested(500) + b"}", headers=JSON)
    answer.refused(403, "forbidden")


async def test_one_poisoned_document_costs_the_batch_nothing(db: Db) -> None:
    poison = [
        b'{"_id":"p1","_rev":"1-a","x":' + nested(100_000) + b"}",
        b'{"_id":"p2","_revisions":{"start":' + b"9" * 300 + b',"ids":["a"]}}',
        b'{"_id":"p3","_rev":"' + b"9" * 300 + b'-a"}',
        b'{"_id":"p4","_rev":"1-a","_attachments":{"f":{"data":"","revpos":' + b"9" * 30 + b"}}}",
        b'{"_id":"p5","_rev":"1-a","_attachments":{"f":{"stub":true,"length":-' + b"9" * 30 + b"}}}",
        b'{"_id":"p6","_rev":"1-\\ud800"}',
        b'{"_id":"\\ud800","_rev":"1-a"}',
        b'{"_id":"p7","_rev":"1-a","x":1e999}',
        b'{"_id":"p8","_rev":"2-b","_deleted":true,"_revisions":{"start":2,"ids":["b","a"]}}',
        b'{"_id":"p8","_rev":"2-b","_deleted":true,"_revisions":{"start":2,"ids":["b","x"]}}',
        b"5",
    ]
    good = [b'{"_id":"good%d","_rev":"1-a"}' % number for number in range(len(poison))]
    body = (
        b'{"new_edits":false,"docs":[' + b",".join(itertools.chain(*zip(poison, good, strict=True))) + b"]}"
    )
    rows = (await db.call("POST", "/_bulk_docs", data=body, headers=JSON)).ok(201)
    assert not [row for row in rows if row["id"].startswith("good")]
    listed = {row["id"] for row in (await db.get("/_all_docs")).ok()["rows"]}
    assert listed >= {f"good{number}" for number in range(len(good))} | {"p4", "p6", "p7", "\ufffd"}
    for row in (await db.changes(include_docs="true", conflicts="true", style="all_docs"))["results"]:
        assert row["doc"]["_rev"] == row["changes"][0]["rev"]


async def test_headers_may_hold_anything(db: Db) -> None:
    for value in ("*", '"', "x", "1-\xff", "é", "W/1-a", '"1-a", "2-b"'):
        for name in ("If-Match", "If-None-Match"):
            for method, path in (
                ("GET", "/a"),
                ("PUT", "/a"),
                ("DELETE", "/a"),
                ("PUT", "/a/f"),
                ("GET", "/a/f"),
            ):
                body: dict[str, Any] | None = {} if method == "PUT" else None
                served(await db.call(method, path, body=body, headers={name: value}))


async def test_a_content_type_from_a_document_is_no_header_of_ours(db: Db) -> None:
    types = {"split": "text/plain\r\nSet-Cookie: a=b", "signs": "é\x00", "none": "", "page": "text/html"}
    files = {name: {"content_type": kind, "data": "aGk="} for name, kind in types.items()}
    await db.push(replicated("files", "1-a", _attachments=files))
    for name in types:
        answer = await db.get(f"/files/{name}")
        assert (answer.status, answer.body) == (200, b"hi")
        assert "Set-Cookie" not in answer.headers
        # A page that a client attached must not run scripts where other people are logged in.
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_packed_body_is_unpacked_and_a_broken_one_ends_the_connection(db: Db) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    packed = gzip.compress(b'{"docs":[{"_id":"packed","_rev":"1-a"}],"new_edits":false}')
    assert (await db.call("POST", "/_bulk_docs", data=packed, headers=headers)).ok(201) == []
    for broken in (b"no gzip", packed[:20] + b"\xff" * 20 + packed[40:]):
        with pytest.raises(aiohttp.ClientConnectionError):
            await db.call("POST", "/_bulk_docs", data=broken, headers=headers)
    assert (await db.get("/packed")).status == 200


async def test_the_feed_of_changed_databases_takes_any_number(couch: Couch, db: Db) -> None:
    for query in ({"since": "9" * 400}, {"since": "x"}, {"timeout": "-1"}, {"timeout": "x"}):
        served(await couch.get("/_db_updates", **query))
    told = (await couch.get("/_db_updates", feed="longpoll", timeout="10")).ok()
    waiting = asyncio.ensure_future(couch.get("/_db_updates", feed="longpoll", since=told["last_seq"]))
    await db.save("b")
    assert (await waiting).ok()["last_seq"] != told["last_seq"]

"""Writes: judged here, sent on, and no document costs its neighbours."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from replication.http.access import allow_everything
from tests.contract.behind import gateway_before
from tests.contract.couch import Couch, Db, embedded_in, fresh_database, replicated
from tests.upstream.scripted import Act, Scripted, Visits, answers, only, scripted


@pytest.fixture
def visits() -> Visits:
    return Visits()


@pytest.fixture
async def script() -> AsyncIterator[tuple[Scripted, str]]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def tablet(script: tuple[Scripted, str], visits: Visits) -> AsyncIterator[Couch]:
    async with gateway_before(script[1], only(visits)) as running:
        yield running


def sent(script: tuple[Scripted, str]) -> list[list[str]]:
    """The ids of each batch that was sent."""
    return [[doc["_id"] for doc in json.loads(asked.body)["docs"]] for asked in script[0].asked]


def refuses_whole(status: int, *spoiling: str) -> Act:
    """Refuse every batch with one of these documents in it."""

    async def act(request: web.Request) -> web.Response:
        ids = {doc["_id"] for doc in (await request.json())["docs"]}
        if ids.isdisjoint(spoiling):
            return web.json_response([], status=201)
        return web.json_response({"error": "missing_stub", "reason": "no"}, status=status)

    return act


async def push(couch: Couch, *ids: str) -> Any:
    docs = [{"_id": doc_id, "_rev": "1-a"} for doc_id in ids]
    return (await couch.post("/a/_bulk_docs", {"new_edits": False, "docs": docs})).ok(201)


@pytest.mark.parametrize("status", [400, 412, 413])
async def test_a_document_for_which_a_whole_batch_is_refused_is_found_and_the_others_are_stored(
    tablet: Couch, script: tuple[Scripted, str], visits: Visits, status: int
) -> None:
    script[0].will(refuses_whole(status, "d13", "d40"))
    rows = await push(tablet, *(f"d{n}" for n in range(50)), "bad:1")
    assert [(row["id"], row["error"], row["reason"]) for row in rows] == [
        ("d13", "forbidden", "missing_stub: no"),
        ("d40", "forbidden", "missing_stub: no"),
        ("bad:1", "forbidden", "policy"),
    ]
    assert [doc_id for doc_id, _ in visits.told] == ["d13", "d40"]
    taken = {doc_id for batch in sent(script) if {"d13", "d40"}.isdisjoint(batch) for doc_id in batch}
    assert taken == {f"d{n}" for n in range(50)} - {"d13", "d40"}
    assert len(visits.admitted) == 51
    assert len(sent(script)) < 25


async def test_rows_are_told_as_forbidden_unless_they_say_that_it_may_be_tried_again(
    tablet: Couch, script: tuple[Scripted, str], visits: Visits
) -> None:
    script[0].will(answers(201, [{"id": "a", "rev": "1-a", "error": "doc_validation", "reason": "r"}]))
    (row,) = await push(tablet, "a", "b")
    assert (row["error"], row["reason"]) == ("forbidden", "doc_validation: r")
    assert [doc_id for doc_id, _ in visits.told] == ["a"]
    script[0].will(answers(201, [{"id": "a", "rev": "1-a", "error": "timeout", "reason": "r"}]))
    docs = [{"_id": "a", "_rev": "1-a"}]
    answer = await tablet.post("/a/_bulk_docs", {"new_edits": False, "docs": docs})
    answer.refused(503, "service_unavailable")
    script[0].will(answers(202, []))
    (await tablet.post("/a/_bulk_docs", {"new_edits": False, "docs": docs})).ok(202)


def refuses_without_rev(*spoiling: str) -> Act:
    """Refuse these revisions, in rows that do not name them."""

    async def act(request: web.Request) -> web.Response:
        refused = [doc for doc in (await request.json())["docs"] if doc["_rev"] in spoiling]
        rows = [{"id": doc["_id"], "error": "forbidden", "reason": doc["_rev"]} for doc in refused]
        return web.json_response(rows, status=201)

    return act


@pytest.mark.parametrize(
    ("spoiling", "sends"),
    [([], 1), (["1-b"], 4), (["1-a", "1-b"], 4), (["1-a", "1-b", "1-c"], 1), (["1-o"], 1)],
)
async def test_a_row_without_a_revision_refuses_the_revision_that_was_refused_and_no_other(
    tablet: Couch, script: tuple[Scripted, str], spoiling: list[str], sends: int
) -> None:
    script[0].will(refuses_without_rev(*spoiling))
    docs = [{"_id": "x", "_rev": rev} for rev in ("1-a", "1-b", "1-c")] + [{"_id": "other", "_rev": "1-o"}]
    rows = (await tablet.post("/a/_bulk_docs", {"new_edits": False, "docs": docs})).ok(201)
    assert [row["rev"] for row in rows] == [row["reason"] for row in rows] == spoiling
    assert len(sent(script)) == sends


async def test_of_two_refused_revisions_the_one_that_is_not_named_is_the_other(
    tablet: Couch, script: tuple[Scripted, str]
) -> None:
    named = {"id": "x", "rev": "1-b", "error": "forbidden", "reason": "b"}
    script[0].will(answers(201, [{"id": "x", "error": "forbidden", "reason": "a"}, named]))
    docs = [{"_id": "x", "_rev": "1-a"}, {"_id": "x", "_rev": "1-b"}]
    rows = (await tablet.post("/a/_bulk_docs", {"new_edits": False, "docs": docs})).ok(201)
    assert [(row["rev"], row["reason"]) for row in rows] == [("1-a", "a"), ("1-b", "b")]
    assert len(script[0].asked) == 1


async def test_interactive_edits_are_answered_in_their_order_and_never_sent_twice(
    tablet: Couch, script: tuple[Scripted, str]
) -> None:
    script[0].will(
        answers(201, [{"ok": True, "id": "a", "rev": "1-x"}, {"id": "c", "error": "conflict", "reason": "r"}])
    )
    docs = [{"_id": "a"}, {"_id": "bad:b"}, {"_id": "c"}]
    rows = (await tablet.post("/a/_bulk_docs", {"docs": docs})).ok(201)
    assert [row.get("error", row.get("rev")) for row in rows] == ["1-x", "forbidden", "conflict"]
    script[0].will(answers(400, {"error": "bad_request", "reason": "r"}))
    before = len(script[0].asked)
    (await tablet.post("/a/_bulk_docs", {"docs": docs})).refused(400, "bad_request")
    assert len(script[0].asked) == before + 1


async def test_what_is_sent_on_is_what_was_judged(
    tablet: Couch, script: tuple[Scripted, str], visits: Visits
) -> None:
    script[0].will(answers(201, []))
    body = (
        b'{"docs":[{"_id":"visit:1","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},'
        b'"_id":"bad:1"},{"_id":"ok","_rev":"1-a","n":1e999,"s":"\\ud83d",  "t":[1.0, 2]}],'
        b'"docs_":1,"new_edits":false}'
    )
    await tablet.call("POST", "/a/_bulk_docs", data=body, headers={"Content-Type": "application/json"})
    assert visits.admitted == ["bad:1", "ok"]
    assert script[0].asked[0].body == (
        b'{"new_edits":false,"docs":[{"_id":"ok","_rev":"1-a","n":null,"s":"\\ufffd","t":[1.0, 2]}]}'
    )


async def test_nobody_edits_by_saying_new_edits_twice(tablet: Couch, script: tuple[Scripted, str]) -> None:
    script[0].will(answers(201, {"ok": True}))
    await tablet.call("PUT", "/a/x?new_edits=false&new_edits=true&rev=1-a", body={"_rev": "1-a"})
    assert script[0].asked[0].path == "/couch/a/x?new_edits=false"


LOOSE = "batch=ok&w=1&new_edits=true&new_edits=false&full_commit=false"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("PUT /a/x?rev=1-a&rev=2-b&{}", "/a/x?rev=1-a"),
        ("PUT /a/_design/x?{}", "/a/_design/x"),
        ("POST /a?{}", "/a"),
        ("POST /a/_bulk_docs?{}", "/a/_bulk_docs"),
        ("DELETE /a/x?{}&rev=1-a%2Bb", "/a/x?rev=1-a%2Bb"),
        ("COPY /a/x?{}", "/a/x?rev=1-a"),
        ("PUT /a/x/note.txt?{}&rev=1-a", "/a/x/note.txt?rev=1-a"),
        ("DELETE /a/x/note.txt?rev=1-a&{}", "/a/x/note.txt?rev=1-a"),
        ("PUT /a/_local/x?{}", "/a/_local/x"),
        ("DELETE /a/_local/x?{}&rev=0-1", "/a/_local/x?rev=0-1"),
        ("POST /a/_purge?{}", "/a/_purge"),
        ("POST /a/_index?{}", "/a/_index"),
        ("PUT /a/_security?{}", "/a/_security"),
        ("PUT /a?q=2&n=3&{}", "/a?q=2&n=3"),
        ("DELETE /a?{}&rev=1-a", "/a?rev=1-a"),
    ],
)
async def test_a_write_is_sent_on_with_no_parameter_that_changes_when_it_is_answered(
    script: tuple[Scripted, str], asked: str, sent: str
) -> None:
    script[0].will(answers(201, {"_id": "x", "_rev": "1-a"}))
    headers = {"Destination": "y", "X-Couch-Full-Commit": "false"}
    method, path = asked.format(LOOSE).split()
    body: object = {"docs": []} if method in ("PUT", "POST") else None
    async with gateway_before(script[1], allow_everything) as couch:
        await couch.call(method, path, body=body, headers=headers)
    assert script[0].asked[-1].path == f"/couch{sent}"
    assert "X-Couch-Full-Commit" not in script[0].asked[-1].headers


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("a+b", ("a+b", "a%2Bb")),
        ("/y:%20z", ("y: z", "y:%20z")),
        ("%2Fy", ("y", "y")),
        ("y?rev=2-b&x=1", ("y", "y?rev=2-b")),
        ("y?x=1&rev=2-b", ("y", "y?rev=2-b")),
        ("_design%2Fd%3Fe", ("_design/d?e", "_design/d%3Fe")),
    ],
)
async def test_a_copy_goes_where_it_was_judged_to_go_with_the_content_that_was_judged(
    tablet: Couch, script: tuple[Scripted, str], visits: Visits, asked: str, told: tuple[str, str]
) -> None:
    script[0].will(answers(200, {"_id": "visit:1", "_rev": "3-c"}))
    await tablet.call("COPY", "/a/visit:1", headers={"Destination": asked})
    judged, sent = told
    assert visits.admitted == [judged]
    reading, copying = script[0].asked
    assert reading.path == "/couch/a/visit%3A1"
    assert copying.path == "/couch/a/visit%3A1?rev=3-c"
    assert copying.headers["Destination"] == sent


async def test_a_copy_of_a_named_revision_is_judged_by_that_revision(
    tablet: Couch, script: tuple[Scripted, str]
) -> None:
    script[0].will(answers(200, {"_id": "visit:1", "_rev": "2-b"}))
    headers = {"Destination": "y", "If-Match": '"2-b"'}
    await tablet.call("COPY", "/a/visit:1", headers=headers)
    assert [asked.path for asked in script[0].asked] == ["/couch/a/visit%3A1?rev=2-b"] * 2
    assert "If-Match" not in script[0].asked[-1].headers
    headers["If-Match"] = "1-a"
    (await tablet.call("COPY", "/a/visit:1?rev=2-b", headers=headers)).refused(400, "bad_request")


async def test_what_reads_keeps_its_query(script: tuple[Scripted, str]) -> None:
    script[0].will(answers(200, {"rows": []}))
    async with gateway_before(script[1], allow_everything) as couch:
        for method, path in (
            ("GET", "/a/x?rev=1-a&r=2"),
            ("POST", "/a/_all_docs?limit=1&x=y"),
            ("POST", "/a/_find?r=2"),
            ("POST", "/a/_revs_diff?a=b"),
            ("POST", "/a/_bulk_get?revs=true"),
        ):
            await couch.call(method, path, body=None if method == "GET" else {})
            assert script[0].asked[-1].path == f"/couch{path}"


async def test_a_single_document_that_is_refused_is_told_and_not_sent(
    tablet: Couch, script: tuple[Scripted, str], visits: Visits
) -> None:
    script[0].will(answers(412, {"error": "missing_stub", "reason": "r"}))
    answer = await tablet.call("PUT", "/a/bad:1?new_edits=false", body={"_rev": "1-a"})
    answer.refused(403, "forbidden")
    assert not script[0].asked
    answer = await tablet.call("PUT", "/a/good?new_edits=false", body={"_rev": "1-a"})
    answer.refused(412, "missing_stub")
    assert [doc_id for doc_id, _ in visits.told] == ["good"]


@pytest.fixture
async def db(tmp_path: Any) -> AsyncIterator[Db]:
    """A database of a real server, through the gateway."""
    async with (
        embedded_in(tmp_path / "behind", allow_everything) as behind,
        gateway_before(behind.base, allow_everything) as couch,
        fresh_database(couch) as database,
    ):
        yield database


async def test_attachments_behind_a_document_arrive_with_it(db: Db) -> None:
    head = {
        "_rev": "1-a",
        "_attachments": {
            "two.bin": {"follows": True, "length": 3, "content_type": "a/b"},
            "in.txt": {"data": "aGVsbG8=", "content_type": "text/plain"},
            'ön"e.bin': {"follows": True, "length": 2, "content_type": "a/c"},
        },
    }
    pieces = [json.dumps(head).encode(), b"two", b"on"]
    body = b"".join(b"--x\r\n\r\n" + piece + b"\r\n" for piece in pieces) + b"--x--"
    body = body.replace(b"--x\r\n\r\n{", b"--x\r\nContent-Type: application/json\r\n\r\n{", 1)
    headers = {"Content-Type": "multipart/related; boundary=x"}
    (await db.call("PUT", "/doc?new_edits=false", data=body, headers=headers)).ok(201)
    assert (await db.call("GET", "/doc/two.bin")).body == b"two"
    assert (await db.call("GET", "/doc/in.txt")).body == b"hello"
    assert (await db.call("GET", "/doc/%C3%B6n%22e.bin")).body == b"on"


async def test_histories_and_bodies_arrive_as_they_were_pushed(db: Db) -> None:
    await db.push(
        replicated("x", "3-c", "2-b", "1-a", n=1, t="é"), replicated("x", "2-d", "1-a", _deleted=True)
    )
    leaf, tombstone = (await db.everything())["x"][::-1]
    assert (leaf["_revisions"]["ids"], leaf["n"], leaf["t"]) == (["c", "b", "a"], 1, "é")
    assert (tombstone["_deleted"], tombstone["_revisions"]["ids"]) == (True, ["d", "a"])

"""Documents with their attachments behind them: what CouchDB's replicator pushes and pulls."""

import gzip
import json
import random
from typing import Any

import pytest

from tests.contract.couch import Db, replicated
from tests.contract.parts import (
    BOUNDARY,
    Sent,
    content,
    described,
    framed,
    get_parts,
    part,
    parts_of,
    put_body,
    put_document,
    read,
)

PICTURE = Sent("image/png", bytes(range(256)) * 4)
HOSTILE = Sent("image/png", f"\r\n--{BOUNDARY[:-1]}\r\n--{BOUNDARY[:-1]}--\r\n\r\n--".encode() + b"\r\n" * 9)
LARGE = Sent("application/octet-stream", random.Random(5).randbytes(5 * 1024 * 1024))
TEXT = b"trial,rt\n" * 500
PACKED = Sent("text/csv", gzip.compress(TEXT, mtime=0), encoding="gzip", length=len(TEXT))


def follows(**attachments: Sent) -> bytes:
    """A replicated document `a` that announces the attachments."""
    announced = {name: described(sent) for name, sent in attachments.items()}
    return json.dumps(replicated("a", "1-a", _attachments=announced)).encode()


@pytest.mark.parametrize("sent", [PICTURE, HOSTILE, LARGE, Sent("image/png", b"")])
async def test_a_document_is_pushed_with_its_attachments_behind_it(db: Db, sent: Sent) -> None:
    told = (await put_document(db, replicated("a", "1-a", x=1), {"f": sent, "g.png": PICTURE})).ok(201)
    assert told == {"ok": True, "id": "a", "rev": "1-a"}
    assert (await db.get("/a/f")).body == sent.data
    assert (await db.get("/a/g.png")).body == PICTURE.data
    shown = (await db.get("/a")).ok()
    assert shown["x"] == 1
    stub = described(sent)
    del stub["follows"]
    assert shown["_attachments"]["f"] == {**stub, "stub": True}


async def test_an_edit_may_be_multipart_too(db: Db) -> None:
    text = json.dumps({"_attachments": {"f": described(PICTURE)}}).encode()
    answer = await put_body(db, "a", framed(text, [part("f", PICTURE)]), boundary=BOUNDARY)
    assert answer.ok(201)["rev"].startswith("1-")
    assert answer.headers["Location"].endswith(f"/{db.name}/a")
    assert (await db.get("/a/f")).body == PICTURE.data


async def test_parts_that_only_have_an_order_belong_to_the_attachments_in_that_order(db: Db) -> None:
    body = framed(follows(one=PICTURE, two=HOSTILE), [({}, PICTURE.data), ({}, HOSTILE.data)])
    (await put_body(db, "a", body, new_edits="false")).ok(201)
    assert ((await db.get("/a/one")).body, (await db.get("/a/two")).body) == (PICTURE.data, HOSTILE.data)


async def test_a_document_is_pulled_with_its_attachments_behind_it(db: Db) -> None:
    sent = {"large": LARGE, "p.png": PICTURE, "t.csv": PACKED}
    (await put_document(db, replicated("a", "2-b", "1-a", x=1), sent)).ok(201)
    answer = await get_parts(db, "/a", "multipart/related", attachments="true", revs="true")
    assert answer.headers["Content-Type"].startswith("multipart/related; boundary=")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    document, *attached = parts_of(read(answer))
    assert document.get_content_type() == "application/json"
    shown = json.loads(content(document))
    assert shown["_revisions"] == {"start": 2, "ids": ["b", "a"]}
    assert shown["_attachments"] == {name: described(one) for name, one in sent.items()}
    found = {one.get_filename(): one for one in attached}
    assert list(found) == list(shown["_attachments"])
    for name, one in sent.items():
        assert content(found[name]) == one.data
        assert found[name]["Content-Length"] == str(len(one.data))
        assert found[name].get_content_type() == one.content_type
        assert found[name]["Content-Encoding"] == one.encoding


@pytest.mark.parametrize(
    ("accept", "in_parts"),
    [
        ("multipart/related", True),
        ("*/*", True),
        ("multipart/*, application/json;q=0.5", True),
        ("application/json", False),
        ("multipart/related;q=0, */*", False),
    ],
)
async def test_the_client_says_whether_it_takes_parts(db: Db, accept: str, in_parts: bool) -> None:
    (await put_document(db, replicated("a", "1-a"), {"f": PICTURE})).ok(201)
    answer = await get_parts(db, "/a", accept, attachments="true")
    assert answer.headers["Content-Type"].startswith("multipart/related" if in_parts else "application/json")


async def test_what_has_no_attachment_to_send_is_json(db: Db) -> None:
    rev = await db.save("a", x=1)
    answer = await get_parts(db, "/a", "multipart/related", attachments="true")
    assert (answer.headers["Content-Type"], answer.json["_rev"]) == ("application/json", rev)


async def test_what_an_ancestor_had_is_a_stub(db: Db) -> None:
    (await put_document(db, replicated("a", "1-a"), {"old": PICTURE})).ok(201)
    stub = {"old": {**described(PICTURE), "stub": True}}
    del stub["old"]["follows"]
    edit = replicated("a", "2-b", "1-a", _attachments=stub)
    (await put_document(db, edit, {"new": HOSTILE._replace(revpos=2)})).ok(201)
    shown = (await db.get("/a", atts_since='["1-a"]')).ok()["_attachments"]
    assert {name: "data" in one for name, one in shown.items()} == {"old": False, "new": True}
    answer = await get_parts(db, "/a", "multipart/related", atts_since='["1-a","9-unknown"]')
    document, *attached = parts_of(read(answer))
    assert [one.get_filename() for one in attached] == ["new"]
    assert json.loads(content(document))["_attachments"]["old"]["stub"] is True
    for known in ('["1-other"]', "[]"):
        shown = (await db.get("/a", atts_since=known)).ok()["_attachments"]
        assert all("data" in one for one in shown.values())
    everything = await get_parts(db, "/a", "multipart/related", atts_since='["2-b"]')
    assert everything.headers["Content-Type"].startswith("application/json")


async def test_the_leaves_of_a_conflict_are_pulled_in_parts(db: Db) -> None:
    (await put_document(db, replicated("a", "1-a"), {"f": PICTURE})).ok(201)
    await db.push(replicated("a", "1-b", x=1))
    answer = await get_parts(
        db, "/a", "multipart/mixed", open_revs='["1-a","1-b","7-none"]', revs="true", latest="true"
    )
    assert answer.headers["Content-Type"].startswith("multipart/mixed; boundary=")
    with_attachment, plain, missing = sorted(
        parts_of(read(answer)), key=lambda one: ("related" not in str(one["Content-Type"]), str(one))
    )
    document, attached = parts_of(with_attachment)
    assert json.loads(content(document))["_rev"] == "1-a"
    assert content(attached) == PICTURE.data
    told = {str(one["Content-Type"]): json.loads(content(one)) for one in (plain, missing)}
    assert told["application/json"]["_rev"] == "1-b"
    assert told['application/json; error="true"'] == {"missing": "7-none"}


@pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/related"])
async def test_many_documents_are_pulled_in_parts(db: Db, kind: str) -> None:
    (await put_document(db, replicated("a", "1-a"), {"f": PICTURE})).ok(201)
    await db.push(replicated("b", "1-b"))
    asked = {"docs": [{"id": "a", "rev": "1-a"}, {"id": "b"}, {"id": "c", "rev": "1-c"}]}
    answer = await db.call("POST", "/_bulk_get", body=asked, headers={"Accept": kind})
    assert answer.headers["Content-Type"].startswith(f"{kind}; boundary=")
    first, second, third = parts_of(read(answer))
    assert (first["X-Doc-Id"], first["X-Rev-Id"]) == ("a", "1-a")
    document, attached = parts_of(first)
    assert (json.loads(content(document))["_id"], content(attached)) == ("a", PICTURE.data)
    assert json.loads(content(second))["_id"] == "b"
    assert str(third["Content-Type"]) == 'application/json; error="true"'
    assert json.loads(content(third))["error"] == "not_found"


async def test_many_documents_are_json_for_whoever_takes_json(db: Db) -> None:
    (await put_document(db, replicated("a", "2-b", "1-a"), {"f": PICTURE})).ok(201)
    asked = {"docs": [{"id": "a", "rev": "2-b", "atts_since": ["1-a"]}, {"id": "a", "atts_since": ["x"]}]}
    answer = await db.call("POST", "/_bulk_get", body=asked, headers={"Accept": "*/*"})
    known, bad = answer.ok()["results"]
    assert known["docs"][0]["ok"]["_attachments"]["f"]["stub"] is True
    assert bad["docs"][0]["error"]["error"] == "bad_request"
    (await db.post("/_bulk_get", asked, atts_since='["1-a"]')).refused(400, "bad_request")


OTHER = PICTURE._replace(data=PICTURE.data[::-1])
WHOLE = framed(follows(f=PICTURE), [part("f", PICTURE)])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (framed(follows(f=PICTURE), [({}, PICTURE.data[:-1])]), "bad_request"),
        (framed(follows(f=PICTURE), []), "bad_request"),
        (framed(follows(f=PICTURE), [part("f", OTHER)]), "content_md5_mismatch"),
        (framed(b'{"_rev":', [part("f", PICTURE)]), "bad_request"),
    ],
    ids=["shorter", "none", "other bytes", "no JSON"],
)  # fmt: skip
async def test_a_part_that_is_not_what_was_announced_is_refused(db: Db, body: bytes, error: str) -> None:
    (await put_body(db, "a", body, new_edits="false")).refused(400, error)
    assert (await db.get("/a")).status == 404


async def test_a_stub_without_data_is_missing_for_the_replicator_that_can_send_it(db: Db) -> None:
    stub: dict[str, Any] = {**described(PICTURE), "stub": True}
    del stub["follows"]
    edit = replicated("a", "2-b", "1-a", _attachments={"old": stub})
    (await put_document(db, edit, {"new": HOSTILE._replace(revpos=2)})).refused(412, "missing_stub")
    del edit["_attachments"]
    (await put_document(db, edit, {"old": PICTURE, "new": HOSTILE._replace(revpos=2)})).ok(201)
    assert (await db.get("/a/old")).body == PICTURE.data


async def test_a_first_part_that_is_no_json_is_refused(db: Db) -> None:
    body = WHOLE.replace(b"Content-Type: application/json", b"Content-Type: text/plain", 1)
    (await put_body(db, "a", body)).refused(415, "bad_content_type")

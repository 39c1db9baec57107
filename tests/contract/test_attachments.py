"""Attachments: inside their document, as stubs, and by their own URL."""

import base64
import hashlib
from typing import Any

import pytest

from tests.contract.couch import Db, replicated

PICTURE = bytes(range(256)) * 4
DIGEST = "md5-" + base64.b64encode(hashlib.md5(PICTURE, usedforsecurity=False).digest()).decode()


def inline(data: bytes = PICTURE, content_type: str = "image/png") -> dict[str, Any]:
    return {"content_type": content_type, "data": base64.b64encode(data).decode()}


@pytest.fixture
async def signed(db: Db) -> Db:
    """A document `a` at its first revision with one attachment."""
    await db.push(replicated("a", "1-a", x=1, _attachments={"signature.png": {**inline(), "revpos": 1}}))
    return db


async def test_an_attachment_is_described_by_a_stub(signed: Db) -> None:
    assert (await signed.get("/a")).ok()["_attachments"] == {
        "signature.png": {
            "content_type": "image/png", "revpos": 1, "digest": DIGEST, "length": len(PICTURE), "stub": True,
        }
    }  # fmt: skip


async def test_an_attachment_is_sent_inside_when_asked_for(signed: Db) -> None:
    shown = (await signed.get("/a", attachments="true")).ok()["_attachments"]["signature.png"]
    assert base64.b64decode(shown["data"]) == PICTURE
    assert (shown["content_type"], shown["digest"], shown["revpos"]) == ("image/png", DIGEST, 1)
    assert "stub" not in shown


async def test_an_attachment_is_read_by_its_url(signed: Db) -> None:
    answer = await signed.get("/a/signature.png")
    assert (answer.status, answer.body) == (200, PICTURE)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["ETag"] == f'"{DIGEST.removeprefix("md5-")}"'
    same = await signed.call("GET", "/a/signature.png", headers={"If-None-Match": answer.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")
    head = await signed.call("HEAD", "/a/signature.png")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(PICTURE)), b"")


async def test_a_stub_keeps_the_attachment_across_an_edit(signed: Db) -> None:
    document = (await signed.get("/a")).ok()
    rev = (await signed.put("/a", {**document, "x": 2})).ok(201)["rev"]
    shown = (await signed.get("/a")).ok()
    assert shown["_attachments"] == document["_attachments"]
    assert (await signed.get("/a/signature.png", rev=rev)).body == PICTURE


async def test_an_edit_without_the_stub_drops_the_attachment(signed: Db) -> None:
    await signed.save("a", _rev="1-a")
    assert "_attachments" not in (await signed.get("/a")).ok()
    assert (await signed.get("/a/signature.png")).refused(404, "not_found")
    assert (await signed.get("/a/signature.png", rev="1-a")).body == PICTURE


async def test_a_stub_of_nothing_is_missing(db: Db) -> None:
    stub = {"stub": True, "content_type": "image/png", "digest": DIGEST, "length": 3, "revpos": 1}
    (await db.put("/a", {"_attachments": {"f": stub}})).refused(412, "missing_stub")
    rev = await db.save("a")
    (await db.put("/a", {"_rev": rev, "_attachments": {"f": stub}})).refused(412, "missing_stub")


async def test_a_new_attachment_takes_the_position_of_its_revision(signed: Db) -> None:
    document = (await signed.get("/a")).ok()
    document["_attachments"]["second.txt"] = inline(b"two", "text/plain")
    await signed.put("/a", document)
    shown = (await signed.get("/a")).ok()["_attachments"]
    assert {name: kept["revpos"] for name, kept in shown.items()} == {"signature.png": 1, "second.txt": 2}


async def test_a_replicated_attachment_keeps_its_position(db: Db) -> None:
    await db.push(replicated("a", "3-c", "2-b", "1-a", _attachments={"f": inline() | {"revpos": 2}}))
    assert (await db.get("/a")).ok()["_attachments"]["f"]["revpos"] == 2


async def test_an_attachment_is_put_by_its_url(db: Db) -> None:
    new = await db.call("PUT", "/a/notes.txt", data=b"one", headers={"Content-Type": "text/plain"})
    told = new.ok(201)
    assert (told["id"], told["rev"][:2]) == ("a", "1-")
    (await db.call("PUT", "/a/notes.txt", data=b"two", headers={"Content-Type": "text/plain"})).refused(
        409, "conflict"
    )
    again = await db.call(
        "PUT",
        "/a/more%2Fnotes.txt",
        query={"rev": told["rev"]},
        data=b"",
        headers={"Content-Type": "text/plain"},
    )
    assert again.ok(201)["rev"].startswith("2-")
    assert (await db.get("/a/notes.txt")).body == b"one"
    for path in ("/a/more%2Fnotes.txt", "/a/more/notes.txt"):
        answer = await db.get(path)
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"", "text/plain")


async def test_an_attachment_needs_a_known_revision_of_its_document(signed: Db) -> None:
    headers = {"Content-Type": "text/plain", "If-Match": '"9-unknown"'}
    assert (await signed.call("PUT", "/a/f", data=b"x", headers=headers)).status == 409
    headers["If-Match"] = '"1-a"'
    assert (await signed.call("PUT", "/a/f", data=b"x", headers=headers)).status == 201
    assert (await signed.call("PUT", "/a/f", data=b"y", headers=headers)).status == 409


async def test_an_attachment_is_deleted_by_its_url(signed: Db) -> None:
    (await signed.delete("/a/signature.png")).refused(409, "conflict")
    (await signed.delete("/a/unknown.png", rev="1-a")).refused(404, "not_found")
    told = (await signed.delete("/a/signature.png", rev="1-a")).ok()
    assert told["rev"].startswith("2-")
    assert (await signed.get("/a")).ok() == {"_id": "a", "_rev": told["rev"], "x": 1}


@pytest.mark.parametrize("path", ["/a/unknown", "/b/signature.png"])
async def test_what_is_not_attached_is_not_found(signed: Db, path: str) -> None:
    (await signed.get(path)).refused(404, "not_found")


async def test_attachments_travel_with_bulk_reads_and_feeds(signed: Db) -> None:
    wanted = {"docs": [{"id": "a", "rev": "1-a"}]}
    rows = (await signed.post("/_bulk_get", wanted, attachments="true")).ok()["results"]
    assert rows[0]["docs"][0]["ok"]["_attachments"]["signature.png"]["data"] == inline()["data"]
    rows = (await signed.changes(include_docs="true", attachments="true"))["results"]
    assert rows[0]["doc"]["_attachments"]["signature.png"]["data"] == inline()["data"]
    rows = (await signed.changes(include_docs="true"))["results"]
    assert rows[0]["doc"]["_attachments"]["signature.png"]["stub"] is True


@pytest.mark.parametrize("name", ["_hidden", "_"])
async def test_a_name_that_begins_with_an_underscore_is_refused(db: Db, name: str) -> None:
    (await db.put("/a", {"_attachments": {name: inline()}})).refused(400, "bad_request")
    answer = await db.call("PUT", f"/a/{name}", data=b"x", headers={"Content-Type": "text/plain"})
    answer.refused(400, "bad_request")


async def test_two_documents_may_have_the_same_attachment(signed: Db) -> None:
    rev = (await signed.put("/b", {"_attachments": {"copy.png": inline()}})).ok(201)["rev"]
    await signed.remove("b", rev)
    assert (await signed.get("/a/signature.png")).body == PICTURE


@pytest.mark.parametrize("path", ["/_design/app", "/_design%2Fapp"])
async def test_a_design_document_may_have_attachments(db: Db, path: str) -> None:
    rev = await db.save("_design/app", language="javascript")
    html = {"Content-Type": "text/html"}
    put = await db.call("PUT", f"{path}/pages/index.html", query={"rev": rev}, data=b"<p>", headers=html)
    assert put.ok(201)["id"] == "_design/app"
    got = await db.get(f"{path}/pages/index.html")
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, b"<p>", "text/html")
    assert set((await db.get(path)).ok()["_attachments"]) == {"pages/index.html"}
    (await db.delete(f"{path}/pages/index.html", rev=put.json["rev"])).ok()
    assert (await db.get(f"{path}/pages/index.html")).refused(404, "not_found")

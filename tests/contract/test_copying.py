"""COPY of documents, and what design documents do not do here."""

import pytest

from tests.contract.conftest import APACHE
from tests.contract.couch import Answer, Db


async def copy(db: Db, source: str, destination: str | None, **query: str) -> Answer:
    headers = {} if destination is None else {"Destination": destination}
    return await db.call("COPY", source, query=query, headers=headers)


async def test_a_copy_is_a_new_document(db: Db) -> None:
    await db.save("a", x=1, _attachments={"f": {"data": "aGk=", "content_type": "text/plain"}})
    told = (await copy(db, "/a", "b")).ok(201)
    assert (told["ok"], told["id"]) == (True, "b")
    copied = (await db.get("/b")).ok()
    assert (copied["x"], copied["_rev"]) == (1, told["rev"])
    assert (await db.get("/b/f")).body == b"hi"
    await db.remove("a", (await db.get("/a")).ok()["_rev"])
    assert (await db.get("/b/f")).body == b"hi"


async def test_an_older_revision_is_copied_by_its_name(db: Db) -> None:
    await db.push({"_id": "a", "_rev": "1-a", "x": 1}, {"_id": "a", "_rev": "1-b", "x": 2})
    (await copy(db, "/a", "b", rev="1-a")).ok(201)
    assert (await db.get("/b")).ok()["x"] == 1


async def test_a_copy_replaces_what_it_names_by_its_revision(db: Db) -> None:
    await db.save("a", x=1)
    rev = await db.save("b", x=2)
    (await copy(db, "/a", "b")).refused(409, "conflict")
    (await copy(db, "/a", "b?rev=1-0123456789abcdef0123456789abcdef")).refused(409, "conflict")
    told = (await copy(db, "/a", f"b?rev={rev}")).ok(201)
    assert told["rev"].startswith("2-")
    assert (await db.get("/b")).ok()["x"] == 1


async def test_a_copy_may_go_to_a_design_document_and_an_encoded_name(db: Db) -> None:
    await db.save("a", x=1)
    (await copy(db, "/a", "_design/d")).ok(201)
    (await copy(db, "/_design/d", "caf%C3%A9%2Fb")).ok(201)
    assert (await db.get("/caf%C3%A9%2Fb")).ok()["_id"] == "café/b"


@pytest.mark.parametrize("destination", [None, "http://elsewhere/db/b"])
async def test_a_copy_needs_a_relative_destination(db: Db, destination: str | None) -> None:
    await db.save("a")
    (await copy(db, "/a", destination)).refused(400, "bad_request")


async def test_what_is_not_there_is_not_copied(db: Db) -> None:
    (await copy(db, "/a", "b")).refused(404, "not_found")
    assert (await db.get("/b")).status == 404


@pytest.mark.skipif(
    bool(APACHE), reason="Apache CouchDB computes views; docs/PROTOCOL.md says why this does not"
)
@pytest.mark.parametrize(
    ("method", "function"),
    [
        ("GET", "_view/v"),
        ("POST", "_view/v/queries"),
        ("GET", "_info"),
        ("GET", "_show/s/a"),
        ("GET", "_list/l/v"),
        ("PUT", "_update/u/a"),
        ("GET", "_rewrite/x/y"),
    ],
)
async def test_functions_of_design_documents_are_not_run_and_it_is_said(
    db: Db, method: str, function: str
) -> None:
    body: dict[str, str] | None = None if method == "GET" else {}
    answer = await db.call(method, f"/_design/d/{function}", body=body)
    assert answer.refused(501, "not_implemented")

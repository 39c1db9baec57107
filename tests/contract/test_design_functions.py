"""Functions of design documents: filters of the feed, and `validate_doc_update`."""

from typing import Any

import pytest

from tests.contract.couch import Db, replicated

FILTERS = {
    "same": "function (doc, req) { return doc.x == req.query.x; }",
    "number": "function (doc, req) { return 1; }",
    "library": "function (doc, req) { return require('lib/one').has(doc); };",
    "history": "function (doc, req) { return Boolean(doc._deleted || doc._attachments); }",
    "user": "function (doc, req) { return req.userCtx.roles.indexOf('_admin') >= 0 && req.method == 'GET'; }",
    "throws": "function (doc, req) { return doc.a.b.c; }",
    "broken": "function (doc {",
}
DESIGN = {
    "filters": FILTERS,
    "lib": {
        "one": "var two = require('./two'); exports.has = function (doc) { return doc.x === two.value; };",
        "two": "exports.value = '1';",
    },
    "views": {"some": {"map": "function (doc) { if (doc.x > 1) { emit(doc.x, null); } }"}},
}


@pytest.fixture
async def filtered(db: Db) -> Db:
    """Documents `d1` to `d3` whose `x` is their number, and a design document `f`."""
    await db.save("_design/f", **DESIGN)
    for x in "123":
        await db.save(f"d{x}", x=x)
    return db


async def shown(db: Db, **query: str) -> list[str]:
    return [row["id"] for row in (await db.changes(**query))["results"]]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"filter": "f/same", "x": "2"}, ["d2"]),
        ({"filter": "f/number", "limit": "2", "since": "0"}, ["_design/f", "d1"]),
        ({"filter": "f/library"}, ["d1"]),
        ({"filter": "f/user"}, ["_design/f", "d1", "d2", "d3"]),
        ({"filter": "_view", "view": "f/some"}, ["d2", "d3"]),
        ({"filter": "_design"}, ["_design/f"]),
    ],
)
async def test_a_filter_shows_what_it_lets_through(
    filtered: Db, query: dict[str, str], ids: list[str]
) -> None:
    assert await shown(filtered, **query) == ids


async def test_a_filter_sees_deletions_and_attachments(filtered: Db) -> None:
    rev = (await filtered.get("/d1")).ok()["_rev"]
    await filtered.remove("d1", rev)
    await filtered.save("file", _attachments={"a": {"data": "aGk="}})
    assert await shown(filtered, filter="f/history") == ["d1", "file"]


async def test_a_filter_looks_at_every_leaf_or_at_the_winner(filtered: Db) -> None:
    await filtered.push(replicated("c", "1-a", x="no"), replicated("c", "1-b", x="no"))
    await filtered.push(replicated("c", "2-c", "1-a", x="7"), replicated("c", "2-d", "1-b", x="8"))
    assert await shown(filtered, filter="f/same", x="7") == []
    (row,) = (await filtered.changes(filter="f/same", x="7", style="all_docs"))["results"]
    assert row["changes"] == [{"rev": "2-c"}]


@pytest.mark.parametrize(
    ("query", "status", "error", "reason"),
    [
        ({"filter": "f/none"}, 404, "not_found", "missing json key: none"),
        ({"filter": "none/x"}, 404, "not_found", "missing"),
        ({"filter": "_view", "view": "f/none"}, 404, "not_found", "missing json key: none"),
        ({"filter": "_view"}, 400, "bad_request", "`view` filter parameter is not provided."),
        ({"filter": "_none"}, 400, "bad_request", "unknown builtin filter name"),
        ({"filter": "f"}, 400, "bad_request", "`filter` must be of the form `designname/filtername`"),
    ],
)
async def test_a_filter_that_is_not_there(
    filtered: Db, query: dict[str, str], status: int, error: str, reason: str
) -> None:
    assert (await filtered.get("/_changes", **query)).refused(status, error) == reason


@pytest.mark.parametrize("name", ["throws", "broken"])
async def test_a_filter_that_fails_is_an_error_of_the_request(filtered: Db, name: str) -> None:
    assert (await filtered.get("/_changes", filter=f"f/{name}")).status == 500


VALIDATE = """
function (after, before, user, security) {
  var says = {
    no: {forbidden: 'no x'},
    who: {unauthorized: 'who are you'},
    all: {forbidden: JSON.stringify([after, before, user, security])},
    moved: {forbidden: 'was ' + (before && before.x)}
  };
  if (after._deleted) { throw({forbidden: 'kept for good'}); }
  if (says[after.x]) { throw(says[after.x]); }
  if (after.x === 'err') { after.a.b.c = 1; }
}
"""


@pytest.fixture
async def guarded(db: Db) -> Db:
    """A database whose design document has a say in what is written."""
    await db.save("_design/v", validate_doc_update=VALIDATE)
    return db


async def test_a_document_that_is_refused_is_not_stored(guarded: Db) -> None:
    assert (await guarded.put("/a", {"x": "no"})).refused(403, "forbidden") == "no x"
    assert (await guarded.put("/a", {"x": "who"})).refused(401, "unauthorized") == "who are you"
    assert (await guarded.put("/a", {"x": "err"})).status == 500
    assert (await guarded.get("/a")).status == 404


async def test_a_document_that_passes_is_stored(guarded: Db) -> None:
    rev = await guarded.save("a", x="yes")
    assert (await guarded.put("/a", {"_rev": rev, "x": "moved"})).refused(403, "forbidden") == "was yes"
    assert (await guarded.delete("/a", rev=rev)).refused(403, "forbidden") == "kept for good"
    assert (await guarded.get("/a")).ok()["_rev"] == rev


async def test_what_a_function_is_told(guarded: Db) -> None:
    import json  # noqa: PLC0415 (only here)

    rev = await guarded.save("a", x="yes")
    reason = (await guarded.put("/a", {"_rev": rev, "x": "all"})).refused(403, "forbidden")
    after, before, user, security = json.loads(reason)
    history = {"start": 1, "ids": [rev[2:]]}
    assert after == {"_id": "a", "_rev": rev, "x": "all", "_revisions": history}
    assert before == {"_id": "a", "_rev": rev, "x": "yes", "_revisions": history}
    assert (user["db"], "_admin" in user["roles"]) == (guarded.name, True)
    assert set(security) == {"members", "admins"}
    reason = (await guarded.put("/new", {"x": "all"})).refused(403, "forbidden")
    assert json.loads(reason)[:2] == [{"_id": "new", "x": "all"}, None]


async def test_rows_of_a_batch_are_refused_one_by_one(guarded: Db) -> None:
    docs: list[dict[str, Any]] = [{"_id": "a", "x": "no"}, {"_id": "b", "x": "yes"}]
    first, second = (await guarded.post("/_bulk_docs", {"docs": docs})).ok(201)
    assert (first["id"], first["error"], first["reason"]) == ("a", "forbidden", "no x")
    assert second["ok"]


async def test_replicated_documents_are_asked_about_too(guarded: Db) -> None:
    docs = [
        replicated("a", "1-a", x="no"),
        replicated("b", "2-b", "1-a", x="yes"),
        replicated("b", "1-a", x="no"),
    ]
    rows = (await guarded.post("/_bulk_docs", {"docs": docs, "new_edits": False})).ok(201)
    assert [(row["id"], row["rev"], row["error"]) for row in rows] == [
        ("a", "1-a", "forbidden"), ("b", "1-a", "forbidden"),
    ]  # fmt: skip
    assert (await guarded.get("/b")).ok()["x"] == "yes"


@pytest.mark.parametrize(
    ("path", "was"),
    [
        (("3-d", "2-c", "1-a"), "was yes"),  # an edit in between was never sent
        (("2-d", "1-a"), "was yes"),  # a branch beside 2-b
        (("3-d", "2-b"), "was edited"),
        (("3-d", "2-c"), "was null"),  # no ancestor is known here
    ],
)
async def test_a_replicated_document_is_held_against_its_newest_ancestor_here(
    guarded: Db, path: tuple[str, ...], was: str
) -> None:
    await guarded.push(replicated("a", "1-a", x="yes"), replicated("a", "2-b", "1-a", x="edited"))
    docs = [replicated("a", *path, x="moved")]
    (row,) = (await guarded.post("/_bulk_docs", {"docs": docs, "new_edits": False})).ok(201)
    assert (row["error"], row["reason"]) == ("forbidden", was)


async def test_a_document_written_again_after_its_deletion_follows_nothing(db: Db) -> None:
    await db.remove("a", await db.save("a", x="yes"))
    await db.save("_design/v", validate_doc_update=VALIDATE)
    assert (await db.put("/a", {"x": "moved"})).refused(403, "forbidden") == "was null"


async def test_checkpoints_and_design_documents_are_exempt(guarded: Db) -> None:
    (await guarded.put("/_local/a", {"x": "no"})).ok(201)
    await guarded.save("_design/other", x="no")


async def test_without_its_design_document_nothing_is_refused(guarded: Db) -> None:
    await guarded.remove("_design/v", (await guarded.get("/_design/v")).ok()["_rev"])
    await guarded.save("a", x="no")

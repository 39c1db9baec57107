"""Many documents in one request: compared, written, read. One of them never decides over the others."""

from typing import Any

import pytest

from tests.contract.couch import JSON, Couch, Db, replicated


async def test_the_difference_is_what_the_target_does_not_know(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a"), replicated("gone", "1-a", _deleted=True))
    asked = {"a": ["2-b", "1-a", "3-c", "2-x"], "gone": ["1-a"], "new": ["1-a", "2-b"]}
    told = (await db.post("/_revs_diff", asked)).ok()
    assert set(told) == {"a", "new"}
    assert set(told["a"]["missing"]) == {"3-c", "2-x"}
    assert told["a"]["possible_ancestors"] == ["2-b"]
    assert set(told["new"]["missing"]) == {"1-a", "2-b"}
    assert "possible_ancestors" not in told["new"]


async def test_only_older_leaves_are_possible_ancestors(db: Db) -> None:
    await db.push(replicated("a", "3-c", "2-b"), replicated("a", "1-x"))
    told = (await db.post("/_revs_diff", {"a": ["2-y"]})).ok()
    assert told == {"a": {"missing": ["2-y"], "possible_ancestors": ["1-x"]}}
    told = (await db.post("/_revs_diff", {"a": ["1-y"]})).ok()
    assert told == {"a": {"missing": ["1-y"]}}


async def test_nothing_asked_is_nothing_missing(db: Db) -> None:
    assert (await db.post("/_revs_diff", {})).ok() == {}


@pytest.mark.parametrize("asked", [{"a": ["x"]}, {"a": ["1"]}, {"a": [""]}])
async def test_a_comparison_with_no_revisions_is_refused(db: Db, asked: dict[str, Any]) -> None:
    (await db.post("/_revs_diff", asked)).refused(400, "bad_request")


async def test_an_edit_of_an_unknown_revision_conflicts_in_any_batch(db: Db) -> None:
    await db.save("there", x=0)
    docs = [{"_id": "there", "x": 1}, {"_id": "other", "_rev": "1-abc"}]
    rows = (await db.post("/_bulk_docs", {"docs": docs})).ok(201)
    assert [row.get("error") for row in rows] == ["conflict", "conflict"]


async def test_edits_are_answered_in_their_order(db: Db) -> None:
    rev = await db.save("there", x=0)
    docs: list[dict[str, Any]] = [
        {"_id": "new", "x": 1},
        {"_id": "there", "x": 1},
        {"_id": "other", "x": 1},
        {"_id": "there", "_rev": rev, "x": 2},
        {"x": 3},
    ]
    rows = (await db.post("/_bulk_docs", {"docs": docs})).ok(201)
    assert [row.get("ok", row.get("error")) for row in rows] == [True, "conflict", True, True, True]
    assert [row["id"] for row in rows[:4]] == ["new", "there", "other", "there"]
    assert rows[1] == {"id": "there", "error": "conflict", "reason": "Document update conflict."}
    assert rows[3]["rev"].startswith("2-")
    assert (await db.get(f"/{rows[4]['id']}")).ok()["x"] == 3


async def test_of_two_edits_of_one_document_one_is_a_conflict(db: Db) -> None:
    docs = [{"_id": "a", "x": 1}, {"_id": "a", "x": 2}]
    rows = (await db.post("/_bulk_docs", {"docs": docs})).ok(201)
    assert sorted(row.get("error", "ok") for row in rows) == ["conflict", "ok"]


async def test_a_batch_may_delete(db: Db) -> None:
    rev = await db.save("a")
    rows = (await db.post("/_bulk_docs", {"docs": [{"_id": "a", "_rev": rev, "_deleted": True}]})).ok(201)
    assert rows[0]["ok"] is True
    (await db.get("/a")).refused(404, "not_found")


async def test_a_replicated_batch_that_is_stored_is_answered_with_nothing(db: Db) -> None:
    docs = [replicated("a", "2-b", "1-a", x=1), replicated("a", "2-c", "1-a", x=2), replicated("b", "1-a")]
    answer = await db.post("/_bulk_docs", {"docs": docs, "new_edits": False})
    assert answer.ok(201) == []
    assert await db.leaves("a") == {"2-b", "2-c"}
    assert (await db.get("/a", revs="true")).ok()["_revisions"] == {"start": 2, "ids": ["c", "a"]}


async def test_a_batch_that_is_pushed_again_is_no_change(db: Db) -> None:
    docs = [replicated("a", "2-b", "1-a", x=1), replicated("b", "1-a", _deleted=True)]
    await db.push(*docs)
    before = await db.changes()
    await db.push(*docs)
    await db.push(*reversed(docs))
    after = await db.changes()
    assert [(row["id"], row["changes"]) for row in after["results"]] == [
        (row["id"], row["changes"]) for row in before["results"]
    ]
    assert (await db.changes(since=before["last_seq"]))["results"] == []


async def test_a_replicated_document_names_its_revision_in_one_way_or_the_other(db: Db) -> None:
    await db.push({"_id": "a", "_rev": "1-a"}, {"_id": "b", "_revisions": {"start": 2, "ids": ["b", "a"]}})
    assert (await db.get("/a")).ok()["_rev"] == "1-a"
    assert (await db.get("/b")).ok()["_rev"] == "2-b"


async def test_a_batch_of_nothing_is_nothing(db: Db) -> None:
    assert (await db.post("/_bulk_docs", {"docs": []})).ok(201) == []
    assert (await db.post("/_bulk_docs", {"docs": [], "new_edits": False})).ok(201) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"docs":null}',
        b'{"docs":{}}',
        b'{"docs":[],"new_edits":"no"}',
        b'{"docs":[{"_id":"a"},]}',
        b'{"docs":[{"_id":"a"}',
        b'{"docs":[{"_id":"a","x":\xff}]}',
    ],
)
async def test_a_batch_that_cannot_be_read_is_refused_as_a_whole(db: Db, text: bytes) -> None:
    (await db.call("POST", "/_bulk_docs", data=text, headers=JSON)).refused(400, "bad_request")
    assert (await db.get("")).ok()["doc_count"] == 0


async def bulk_get(db: Db, *wanted: Any, **query: str) -> list[Any]:
    rows = (await db.post("/_bulk_get", {"docs": list(wanted)}, **query)).ok()["results"]
    assert [row["id"] for row in rows] == [doc.get("id") if isinstance(doc, dict) else None for doc in wanted]
    return [row["docs"] for row in rows]


async def test_documents_are_read_by_id_and_revision(db: Db) -> None:
    await db.push(replicated("a", "1-a", x=1), replicated("b", "2-b", "1-a", x=2))
    rows = await bulk_get(db, {"id": "b", "rev": "2-b"}, {"id": "a", "rev": "1-a"}, {"id": "b", "rev": "2-b"})
    b = {"ok": {"_id": "b", "_rev": "2-b", "x": 2}}
    assert rows == [[b], [{"ok": {"_id": "a", "_rev": "1-a", "x": 1}}], [b]]


async def test_what_is_missing_has_its_row(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a"))
    rows = await bulk_get(db, {"id": "a", "rev": "1-a"}, {"id": "a", "rev": "9-i"}, {"id": "b", "rev": "1-a"})
    for row, (doc_id, rev) in zip(rows, [("a", "1-a"), ("a", "9-i"), ("b", "1-a")], strict=True):
        assert row == [{"error": {"id": doc_id, "rev": rev, "error": "not_found", "reason": "missing"}}]
    ((row,),) = await bulk_get(db, {"id": "b"})
    assert row == {"error": {"id": "b", "rev": "undefined", "error": "not_found", "reason": "missing"}}


async def test_without_a_revision_all_leaves_are_read(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a"), replicated("a", "2-c", "1-a", _deleted=True))
    (row,) = await bulk_get(db, {"id": "a"})
    assert {doc["ok"]["_rev"]: doc["ok"].get("_deleted", False) for doc in row} == {"2-b": False, "2-c": True}


async def test_ancestors_are_told_when_asked_for(db: Db) -> None:
    await db.push(replicated("a", "3-c", "2-b", "1-a"))
    ((row,),) = await bulk_get(db, {"id": "a", "rev": "3-c"}, revs="true")
    assert row["ok"]["_revisions"] == {"start": 3, "ids": ["c", "b", "a"]}


async def test_the_latest_of_an_old_revision_are_its_leaves(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a"), replicated("a", "3-c", "2-b"), replicated("a", "2-d", "1-a"))
    (row,) = await bulk_get(db, {"id": "a", "rev": "1-a"}, latest="true")
    assert {doc["ok"]["_rev"] for doc in row} == {"3-c", "2-d"}
    ((row,),) = await bulk_get(db, {"id": "a", "rev": "2-d"}, latest="true")
    assert row["ok"]["_rev"] == "2-d"
    ((row,),) = await bulk_get(db, {"id": "a", "rev": "9-i"}, latest="true")
    assert row["error"]["reason"] == "missing"


async def test_a_deletion_is_read_like_any_revision(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a", _deleted=True, why="withdrawn"))
    ((row,),) = await bulk_get(db, {"id": "a", "rev": "2-b"})
    assert row["ok"] == {"_id": "a", "_rev": "2-b", "_deleted": True, "why": "withdrawn"}


async def test_a_row_that_cannot_be_read_costs_the_others_nothing(db: Db) -> None:
    await db.save("a")
    rows = await bulk_get(db, {"rev": "1-a"}, {"id": "a", "rev": "x"}, 5, {"id": ""}, {"id": "a"})
    assert [row[0].get("error", {}).get("error") for row in rows] == [
        "bad_request", "bad_request", "bad_request", "illegal_docid", None,
    ]  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"\xff"])
async def test_a_question_that_cannot_be_read_is_refused(couch: Couch, db: Db, text: bytes) -> None:
    (await db.call("POST", "/_bulk_get", data=text, headers=JSON)).refused(400, "bad_request")

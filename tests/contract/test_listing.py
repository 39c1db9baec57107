"""All documents of a database by their ids."""

import json
from typing import Any

import pytest

from tests.contract.couch import Db


@pytest.fixture
async def listed(db: Db) -> Db:
    """Documents a to e, of which d is deleted."""
    docs = [{"_id": doc_id, "x": doc_id} for doc_id in "bdeac"]
    (await db.post("/_bulk_docs", {"docs": docs})).ok(201)
    await db.remove("d", (await db.get("/d")).ok()["_rev"])
    return db


async def ids(db: Db, **query: Any) -> list[str]:
    encoded = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
    return [row["id"] for row in (await db.get("/_all_docs", **encoded)).ok()["rows"]]


async def test_an_empty_database_lists_nothing(db: Db) -> None:
    assert (await db.get("/_all_docs")).ok() == {"total_rows": 0, "offset": 0, "rows": []}


async def test_live_documents_are_listed_in_the_order_of_their_ids(listed: Db) -> None:
    told = (await listed.get("/_all_docs")).ok()
    assert (told["total_rows"], told["offset"]) == (4, 0)
    rev = (await listed.get("/a")).ok()["_rev"]
    assert told["rows"][0] == {"id": "a", "key": "a", "value": {"rev": rev}}
    assert [row["id"] for row in told["rows"]] == ["a", "b", "c", "e"]


async def test_ids_are_ordered_bytewise(db: Db) -> None:
    names = ["a", "B", "é", "_design/x", "aa", "a:1", "𝄞"]
    (await db.post("/_bulk_docs", {"docs": [{"_id": name} for name in names]})).ok(201)
    assert await ids(db) == sorted(names, key=lambda name: name.encode())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"startkey": '"b"'}, "bce"),
        ({"start_key": '"b"'}, "bce"),
        ({"endkey": '"c"'}, "abc"),
        ({"end_key": '"c"', "inclusive_end": "false"}, "ab"),
        ({"startkey": '"b"', "endkey": '"d"'}, "bc"),
        ({"startkey": '"d"', "endkey": '"d"'}, ""),
        ({"key": '"b"'}, "b"),
        ({"key": '"d"'}, ""),
        ({"limit": "2"}, "ab"),
        ({"limit": "0"}, ""),
        ({"skip": "1"}, "bce"),
        ({"skip": "1", "limit": "2"}, "bc"),
        ({"skip": "9"}, ""),
        ({"descending": "true"}, "ecba"),
        ({"descending": "true", "startkey": '"c"'}, "cba"),
        ({"descending": "true", "startkey": '"c"', "endkey": '"b"'}, "cb"),
        ({"descending": "true", "limit": "2", "skip": "1"}, "cb"),
    ],
)
async def test_a_listing_may_be_cut(listed: Db, query: dict[str, str], expected: str) -> None:
    assert await ids(listed, **query) == list(expected)


async def test_a_listing_may_carry_the_documents(listed: Db) -> None:
    rows = (await listed.get("/_all_docs", include_docs="true", limit="1")).ok()["rows"]
    assert rows[0]["doc"] == (await listed.get("/a")).ok()


async def test_named_documents_are_listed_in_the_order_of_the_names(listed: Db) -> None:
    keys = ["e", "unknown", "d", "a", "e"]
    asked = await listed.post("/_all_docs", {"keys": keys}, include_docs="true")
    told = asked.ok()
    assert (
        told["rows"]
        == (await listed.get("/_all_docs", keys=json.dumps(keys), include_docs="true")).ok()["rows"]
    )
    assert [row["key"] for row in told["rows"]] == keys
    e, unknown, d, a, again = told["rows"]
    assert e == again
    assert unknown == {"key": "unknown", "error": "not_found"}
    assert (d["id"], d["value"]["deleted"], d["doc"]) == ("d", True, None)
    assert (a["id"], a["doc"]["x"]) == ("a", "a")


async def test_names_may_be_cut_too(listed: Db) -> None:
    rows = (await listed.post("/_all_docs", {"keys": list("abc")}, skip="1", limit="1")).ok()["rows"]
    assert [row["key"] for row in rows] == ["b"]
    rows = (await listed.post("/_all_docs", {"keys": list("abc")}, descending="true")).ok()["rows"]
    assert [row["key"] for row in rows] == list("cba")
    assert (await listed.post("/_all_docs", {"keys": []})).ok()["rows"] == []


async def test_a_posted_question_may_name_nothing(listed: Db) -> None:
    rows = (await listed.post("/_all_docs", {}, limit="1")).ok()["rows"]
    assert [row["key"] for row in rows] == ["a"]


@pytest.mark.parametrize("query", [{"keys": "a"}, {"keys": '"a"'}, {"startkey": "a"}])
async def test_names_that_cannot_be_read_are_refused(listed: Db, query: dict[str, str]) -> None:
    assert (await listed.get("/_all_docs", **query)).status == 400


async def test_a_listing_longer_than_a_page_is_complete(db: Db) -> None:
    names = [f"d{number:04}" for number in range(2_345)]
    (await db.post("/_bulk_docs", {"docs": [{"_id": name} for name in names]})).ok(201)
    assert await ids(db) == names
    assert await ids(db, descending="true", skip="3", limit="2200") == names[::-1][3:2203]
    assert [row["id"] for row in (await db.changes())["results"]] == names
    assert [row["id"] for row in (await db.changes(descending="true"))["results"]] == names[::-1]
    assert len((await db.changes(limit="2100"))["results"]) == 2_100
    rows = (await db.post("/_all_docs", {"keys": names[::-1]})).ok()["rows"]
    assert [row["id"] for row in rows] == names[::-1]

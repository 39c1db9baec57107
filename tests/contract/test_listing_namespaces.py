"""Listings of design documents and of checkpoints, several questions at once, and missing revisions."""

import json
from typing import Any

import pytest

from tests.contract.couch import Db


@pytest.fixture
async def listed(db: Db) -> Db:
    """Documents a and b, design documents x, y and z, checkpoints k1 and k2."""
    for name in ("a", "_design/y", "_design/x", "b", "_design/z"):
        await db.save(name)
    for name in ("k2", "k1"):
        (await db.put(f"/_local/{name}", {"seq": name})).ok(201)
    return db


def ids(told: Any) -> list[str]:
    return [row["id"] for row in told["rows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "xyz"),
        ({"descending": "true"}, "zyx"),
        ({"startkey": '"_design/y"'}, "yz"),
        ({"startkey": '"a"'}, ""),
        ({"endkey": '"_design/y"', "inclusive_end": "false"}, "x"),
        ({"descending": "true", "endkey": '"_design/y"'}, "zy"),
        ({"skip": "1", "limit": "1"}, "y"),
        ({"key": '"_design/x"'}, "x"),
    ],
)
async def test_design_documents_are_listed(listed: Db, query: dict[str, str], expected: str) -> None:
    told = (await listed.get("/_design_docs", **query)).ok()
    assert ids(told) == [f"_design/{name}" for name in expected]
    assert told["total_rows"] == 3


async def test_named_design_documents_are_listed(listed: Db) -> None:
    rows = (await listed.post("/_design_docs", {"keys": ["_design/z", "_design/w"]})).ok()["rows"]
    assert [(row["key"], row.get("error")) for row in rows] == [
        ("_design/z", None),
        ("_design/w", "not_found"),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["k1", "k2"]),
        ({"descending": "true"}, ["k2", "k1"]),
        ({"startkey": '"_local/k2"'}, ["k2"]),
        ({"endkey": '"_local/k1"'}, ["k1"]),
        ({"limit": "1"}, ["k1"]),
    ],
)
async def test_checkpoints_are_listed(listed: Db, query: dict[str, str], expected: list[str]) -> None:
    told = (await listed.get("/_local_docs", **query)).ok()
    assert ids(told) == [f"_local/{name}" for name in expected]
    assert (told["total_rows"], told["offset"]) == (None, None)
    assert told["rows"][0]["value"] == {"rev": "0-1"}


async def test_named_checkpoints_are_listed_with_their_content(listed: Db) -> None:
    asked = {"keys": ["_local/k2"], "include_docs": True}
    (row,) = (await listed.post("/_local_docs", asked)).ok()["rows"]
    assert row["doc"] == (await listed.get("/_local/k2")).ok()
    (row,) = (await listed.post("/_local_docs", {"keys": ["_local/k9"]})).ok()["rows"]
    assert row == {"key": "_local/k9", "error": "not_found"}


async def test_several_questions_are_answered_in_their_order(listed: Db) -> None:
    asked = {"queries": [{"keys": ["b"], "include_docs": True}, {"startkey": "a", "limit": 1}, {}]}
    first, second, third = (await listed.post("/_all_docs/queries", asked)).ok()["results"]
    assert (ids(first), ids(second)) == (["b"], ["a"])
    assert first["rows"][0]["doc"]["_id"] == "b"
    assert third == (await listed.get("/_all_docs")).ok()
    (designs,) = (await listed.post("/_design_docs/queries", {"queries": [{"limit": 2}]})).ok()["results"]
    assert ids(designs) == ["_design/x", "_design/y"]
    (local,) = (await listed.post("/_local_docs/queries", {"queries": [{"limit": 1}]})).ok()["results"]
    assert ids(local) == ["_local/k1"]


@pytest.mark.parametrize("asked", [{}, {"queries": {}}, {"queries": ["a"]}])
async def test_malformed_questions_are_refused(listed: Db, asked: Any) -> None:
    (await listed.post("/_all_docs/queries", asked)).refused(400, "bad_request")


async def test_keys_that_are_no_array_are_refused(listed: Db) -> None:
    asked = {"queries": [{"keys": "a"}]}
    (await listed.post("/_all_docs/queries", asked)).refused(400, "query_parse_error")


async def test_a_listing_may_tell_the_sequence(listed: Db) -> None:
    told = (await listed.get("/_all_docs", update_seq="true", limit="1")).ok()
    rows = (await listed.changes(since=json.dumps(told["update_seq"]).strip('"')))["results"]
    assert rows == []


async def test_a_body_may_hold_the_parameters(listed: Db) -> None:
    told = (await listed.post("/_all_docs", {"startkey": "b", "descending": True})).ok()
    assert ids(told)[:2] == ["b", "a"]


async def test_missing_revisions_are_told(listed: Db) -> None:
    rev = (await listed.get("/a")).ok()["_rev"]
    asked = {"a": [rev, "2-x"], "b": [(await listed.get("/b")).ok()["_rev"]], "new": ["1-n"]}
    told = (await listed.post("/_missing_revs", asked)).ok()
    assert told["missing_revs"] == {"a": ["2-x"], "new": ["1-n"]}

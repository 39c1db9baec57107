"""The server and its databases."""

import uuid
from typing import Any
from urllib.parse import unquote

import pytest

from tests.contract.couch import JSON, Couch, Db


async def test_the_server_says_that_it_is_a_couchdb_3(couch: Couch) -> None:
    told = (await couch.get("/")).ok()
    assert told["couchdb"] == "Welcome"
    assert told["version"].startswith("3.")
    assert set(told) >= {"features", "vendor"}


async def test_the_server_says_that_it_is_up(couch: Couch) -> None:
    assert (await couch.get("/_up")).ok()["status"] == "ok"


async def test_a_created_database_is_listed_and_a_deleted_one_is_not(couch: Couch) -> None:
    name = f"contract-{uuid.uuid4().hex}"
    created = await couch.call("PUT", f"/{name}")
    assert created.ok(201) == {"ok": True}
    assert created.headers["Location"].endswith(f"/{name}")
    names = (await couch.get("/_all_dbs")).ok()
    assert name in names
    assert names == sorted(names)
    assert (await couch.delete(f"/{name}")).ok() == {"ok": True}
    assert name not in (await couch.get("/_all_dbs")).ok()
    assert (await couch.get(f"/{name}")).refused(404, "not_found") == "Database does not exist."


@pytest.mark.parametrize("suffix", ["%2Fb", "_$()%2B-", "%2fb"])
async def test_a_database_name_may_hold_signs(couch: Couch, suffix: str) -> None:
    name = f"contract-{uuid.uuid4().hex}"
    (await couch.call("PUT", f"/{name}{suffix}")).ok(201)
    told = (await couch.get(f"/{name}{suffix}")).ok()
    assert told["db_name"] == name + unquote(suffix)
    (await couch.delete(f"/{name}{suffix}")).ok()


async def test_an_empty_database_describes_itself(db: Db) -> None:
    told = (await db.get("")).ok()
    assert told["db_name"] == db.name
    assert (told["doc_count"], told["doc_del_count"]) == (0, 0)
    assert set(told) >= {
        "update_seq",
        "purge_seq",
        "sizes",
        "compact_running",
        "instance_start_time",
        "cluster",
    }
    assert set(told["sizes"]) == {"file", "external", "active"}
    assert (await db.get("/")).ok()["db_name"] == db.name


async def test_a_database_counts_its_documents_and_its_deletions(db: Db) -> None:
    before = (await db.get("")).ok()["update_seq"]
    rev = await db.save("a")
    await db.save("b")
    await db.remove("a", rev)
    told = (await db.get("")).ok()
    assert (told["doc_count"], told["doc_del_count"]) == (1, 1)
    assert told["update_seq"] != before


async def test_the_head_of_a_database_tells_whether_it_is_there(couch: Couch, db: Db) -> None:
    there = await db.call("HEAD", "")
    assert (there.status, there.body) == (200, b"")
    assert (await couch.call("HEAD", "/contract-nowhere")).status == 404


async def test_a_database_is_created_once(couch: Couch, db: Db) -> None:
    await db.save("a")
    again = await couch.call("PUT", f"/{db.name}")
    assert "already exists" in again.refused(412, "file_exists")
    assert (await db.get("/a")).status == 200


@pytest.mark.parametrize("name", ["UPPER", "1st", "_hidden", "with%20space", "caf%C3%A9", "a%00b", "-a"])
async def test_an_illegal_name_is_refused(couch: Couch, name: str) -> None:
    reason = (await couch.call("PUT", f"/{name}")).refused(400, "illegal_database_name")
    assert "Only lowercase characters" in reason


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/a"),
        ("PUT", "/a"),
        ("DELETE", "/a"),
        ("GET", "/a/attachment"),
        ("GET", "/_changes"),
        ("GET", "/_all_docs"),
        ("GET", "/_local/a"),
        ("PUT", "/_local/a"),
        ("POST", "/_bulk_docs"),
        ("POST", "/_bulk_get"),
        ("POST", "/_revs_diff"),
        ("POST", "/_ensure_full_commit"),
        ("POST", ""),
    ],
)
async def test_nothing_is_found_in_a_database_that_is_not_there(couch: Couch, method: str, path: str) -> None:
    body: dict[str, Any] = {"docs": []} if path.startswith("/_bulk") else {}
    answer = await couch.call(
        method, f"/contract-nowhere{path}", body=body if method in ("PUT", "POST") else None
    )
    assert answer.refused(404, "not_found") == "Database does not exist."


async def test_deleting_a_database_with_a_revision_is_taken_for_a_mistake(db: Db) -> None:
    """A script whose document id came out empty."""
    (await db.delete("", rev="1-a")).refused(400, "bad_request")
    assert (await db.get("")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_bulk_docs"),
        ("PUT", "/_bulk_docs"),
        ("GET", "/_bulk_get"),
        ("GET", "/_revs_diff"),
        ("DELETE", "/_changes"),
        ("PUT", "/_changes"),
        ("DELETE", "/_all_docs"),
        ("GET", "/_ensure_full_commit"),
    ],
)
async def test_a_wrong_method_is_refused_and_the_right_ones_are_told(db: Db, method: str, path: str) -> None:
    answer = await db.call(method, path, body={} if method == "PUT" else None)
    reason = answer.refused(405, "method_not_allowed")
    assert reason.startswith("Only ")
    assert method not in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    ["", "/_bulk_docs", "/_bulk_get", "/_revs_diff", "/_all_docs", "/_changes", "/_ensure_full_commit"],
)
async def test_what_is_posted_has_to_be_declared_as_json(db: Db, path: str) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await db.call("POST", path, data=b'{"docs":[]}', headers={"Content-Type": content_type})
        answer.refused(415, "bad_content_type")


async def test_a_declared_charset_changes_nothing(db: Db) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await db.call("POST", "/_bulk_docs", data=b'{"docs":[]}', headers=headers)
    assert answer.ok(201) == []


async def test_a_full_commit_is_confirmed(db: Db) -> None:
    answer = await db.call("POST", "/_ensure_full_commit", data=b"", headers=JSON)
    told = answer.ok(201)
    assert told["ok"] is True
    assert "instance_start_time" in told

"""What a client or an operator asks of the server itself."""

import json

import pytest

from tests.contract.couch import JSON, Couch, Db


async def test_uuids_are_new_each_time(couch: Couch) -> None:
    one = await couch.get("/_uuids")
    (made,) = one.ok()["uuids"]
    assert len(made) == 32
    assert "no-cache" in one.headers["Cache-Control"]
    several = (await couch.get("/_uuids", count="200")).ok()["uuids"]
    assert len({made, *several}) == 201
    assert (await couch.get("/_uuids", count="0")).ok()["uuids"] == []


@pytest.mark.parametrize("count", ["1001", "x", "-1"])
async def test_too_many_uuids_are_refused(couch: Couch, count: str) -> None:
    (await couch.get("/_uuids", count=count)).refused(400, "bad_request")


async def test_the_server_has_one_identity(couch: Couch) -> None:
    uuid = (await couch.get("/")).ok()["uuid"]
    assert uuid
    assert (await couch.get("/")).ok()["uuid"] == uuid


async def test_several_databases_are_described_at_once(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a")
    asked = {"keys": [db.name, "contract-nowhere", other_db.name]}
    first, unknown, second = (await couch.post("/_dbs_info", asked)).ok()
    assert (first["key"], first["info"]["doc_count"]) == (db.name, 1)
    assert unknown == {"key": "contract-nowhere", "error": "not_found"}
    assert (second["key"], second["info"]["db_name"]) == (other_db.name, other_db.name)


async def test_a_range_of_databases_is_listed_and_described(couch: Couch, db: Db, other_db: Db) -> None:
    names = sorted([db.name, other_db.name])
    span = {"startkey": json.dumps(names[0]), "endkey": json.dumps(names[1])}
    listed = (await couch.get("/_all_dbs", **span)).ok()
    assert (listed[0], listed[-1]) == tuple(names)
    rows = (await couch.get("/_dbs_info", **span)).ok()
    assert [row["key"] for row in rows] == listed
    assert (await couch.get("/_all_dbs", **span, limit="1")).ok() == names[:1]
    backwards = {"descending": "true", "startkey": span["endkey"], "endkey": span["startkey"]}
    assert (await couch.get("/_all_dbs", **backwards)).ok() == listed[::-1]


async def test_more_databases_than_the_limit_are_refused(couch: Couch) -> None:
    asked = {"keys": [f"n{number}" for number in range(101)]}
    (await couch.post("/_dbs_info", asked)).refused(400, "bad_request")


async def test_a_session_says_who_is_asking(couch: Couch) -> None:
    told = (await couch.get("/_session")).ok()
    assert told["ok"] is True
    assert "_admin" in told["userCtx"]["roles"]
    assert "authentication_handlers" in told["info"]


async def test_a_session_is_ended_by_an_empty_cookie(couch: Couch) -> None:
    answer = await couch.delete("/_session")
    assert answer.ok()["ok"] is True
    assert answer.headers["Set-Cookie"].startswith("AuthSession=;")


async def test_tasks_are_listed(couch: Couch) -> None:
    assert isinstance((await couch.get("/_active_tasks")).ok(), list)


async def test_an_unknown_node_or_setting_is_not_found(couch: Couch) -> None:
    assert (await couch.get("/_node/_local")).ok()["name"]
    reason = (await couch.get("/_node/_local/_config/no_section/no_key")).refused(404, "not_found")
    assert reason == "unknown_config_value"
    reason = (await couch.get("/_node/elsewhere%40nowhere/_config")).refused(404, "not_found")
    assert reason.startswith("no such node")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "/_all_docs",
        "/_design_docs",
        "/_local_docs",
        "/_changes",
        "/_security",
        "/_revs_limit",
        "/a/f",
    ],
)
async def test_a_head_is_a_get_without_its_body(db: Db, path: str) -> None:
    await db.save("a", _attachments={"f": {"data": "aGk=", "content_type": "text/plain"}})
    got, head = await db.get(path), await db.call("HEAD", path)
    assert (head.status, head.body) == (got.status, b"")
    for name in ("ETag", "Content-Type"):
        assert head.headers.get(name) == got.headers.get(name)


async def test_a_commit_is_confirmed_only_for_a_database_that_is_there(couch: Couch) -> None:
    answer = await couch.call("POST", "/contract-nowhere/_ensure_full_commit", data=b"", headers=JSON)
    answer.refused(404, "not_found")

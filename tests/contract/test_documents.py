"""One document: written, read, changed, deleted."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.couch import JSON, Db


async def test_a_document_is_read_as_it_was_written(db: Db) -> None:
    content: dict[str, Any] = {
        "text": 'é𝄞\u0000"\\/',
        "numbers": [0, -1, 1.5, 1e300, 12345678901234567],
        "nothing": None,
        "nested": {"": [[], {}, True, False]},
    }
    written = (await db.put("/session%3A1", content)).ok(201)
    assert (written["ok"], written["id"]) == (True, "session:1")
    assert written["rev"].startswith("1-")
    answer = await db.get("/session%3A1")
    assert answer.ok() == {"_id": "session:1", "_rev": written["rev"], **content}
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["ETag"] == f'"{written["rev"]}"'


async def test_the_head_of_a_document_tells_its_revision(db: Db) -> None:
    rev = await db.save("a", x=1)
    head = await db.call("HEAD", "/a")
    assert (head.status, head.headers["ETag"], head.body) == (200, f'"{rev}"', b"")
    assert (await db.call("HEAD", "/b")).status == 404


async def test_a_document_that_the_client_has_is_not_sent_again(db: Db) -> None:
    rev = await db.save("a", x=1)
    same = await db.call("GET", "/a", headers={"If-None-Match": f'"{rev}"'})
    assert (same.status, same.body) == (304, b"")
    other = await db.call("GET", "/a", headers={"If-None-Match": '"1-other"'})
    assert other.ok()["_rev"] == rev


async def test_an_edit_has_to_be_based_on_the_current_revision(db: Db) -> None:
    first = await db.save("a", x=1)
    second = await db.save("a", x=2, _rev=first)
    assert second.startswith("2-")
    for based in ({}, {"_rev": first}, {"_rev": "2-0123456789abcdef0123456789abcdef"}, {"_rev": "1-other"}):
        reason = (await db.put("/a", {"x": 3, **based})).refused(409, "conflict")
        assert reason == "Document update conflict."
    assert (await db.get("/a")).ok() == {"_id": "a", "_rev": second, "x": 2}


async def test_a_new_document_has_no_revision_to_be_based_on(db: Db) -> None:
    (await db.put("/a", {"_rev": "1-a"})).refused(409, "conflict")
    assert (await db.get("/a")).refused(404, "not_found") == "missing"


async def test_the_base_may_be_named_beside_the_document(db: Db) -> None:
    rev = await db.save("a", x=1)
    rev = (await db.put("/a", {"x": 2}, rev=rev)).ok(201)["rev"]
    for quoted in (rev, f'"{rev}"'):
        answer = await db.call("PUT", "/a", body={"x": 3}, headers={"If-Match": quoted})
        if quoted == rev:
            rev = answer.ok(201)["rev"]
        else:
            answer.refused(409, "conflict")
    answer = await db.call("PUT", "/a", body={"x": 4}, headers={"If-Match": f'"{rev}"'})
    assert answer.ok(201)["rev"].startswith("4-")


async def test_bases_that_differ_are_refused(db: Db) -> None:
    rev = await db.save("a", x=1)
    (await db.put("/a", {"_rev": rev}, rev="1-other")).refused(400, "bad_request")
    answer = await db.call("PUT", "/a", body={"_rev": rev}, headers={"If-Match": '"1-other"'})
    answer.refused(400, "bad_request")
    answer = await db.call("PUT", "/a", query={"rev": rev}, body={}, headers={"If-Match": '"1-other"'})
    answer.refused(400, "bad_request")
    assert (await db.get("/a")).ok()["_rev"] == rev


async def test_the_same_edit_gets_the_same_revision_everywhere(db: Db, other_db: Db) -> None:
    there, here = await db.save("a", x=1), await other_db.save("a", x=1)
    assert there == here
    assert await db.save("a", x=2, _rev=there) == await other_db.save("a", x=2, _rev=here)
    assert await db.save("b", x=1) != await other_db.save("b", x=2)


async def test_how_an_edit_is_spelt_does_not_name_its_revision(db: Db, other_db: Db) -> None:
    texts = '{"x":{"y":[1,"é"]}}'.encode(), b'{ "x": {"y": [1, "\\u00e9"]} }'
    there, here = [
        (await each.call("PUT", "/a", data=text, headers=JSON)).ok(201)["rev"]
        for each, text in zip((db, other_db), texts, strict=True)
    ]
    assert there == here


async def test_a_deleted_document_is_gone_and_its_deletion_is_not(db: Db) -> None:
    rev = await db.save("a", x=1)
    answer = await db.delete("/a", rev=rev)
    deletion = answer.ok()
    assert deletion == {"ok": True, "id": "a", "rev": deletion["rev"]}
    assert deletion["rev"].startswith("2-")
    assert (await db.get("/a")).refused(404, "not_found") == "deleted"
    assert (await db.call("HEAD", "/a")).status == 404
    assert (await db.get("/a", rev=deletion["rev"])).ok() == {
        "_id": "a", "_rev": deletion["rev"], "_deleted": True,
    }  # fmt: skip
    assert (await db.get("/a", rev=rev)).ok() == {"_id": "a", "_rev": rev, "x": 1}


async def test_a_deletion_may_keep_content(db: Db) -> None:
    rev = await db.save("a", x=1)
    answer = await db.put("/a", {"_rev": rev, "_deleted": True, "reason": "withdrawn"})
    deletion = answer.ok(200)["rev"]
    assert (await db.get("/a", rev=deletion)).ok() == {
        "_id": "a", "_rev": deletion, "_deleted": True, "reason": "withdrawn",
    }  # fmt: skip


async def test_a_deletion_has_to_be_based_on_the_current_revision(db: Db) -> None:
    first = await db.save("a")
    await db.save("a", _rev=first, x=1)
    (await db.delete("/a")).refused(409, "conflict")
    (await db.delete("/a", rev=first)).refused(409, "conflict")
    assert (await db.call("DELETE", "/a", headers={"If-Match": f'"{first}"'})).status == 409
    rev = (await db.get("/a")).ok()["_rev"]
    assert (await db.call("DELETE", "/a", headers={"If-Match": f'"{rev}"'})).status == 200


async def test_what_is_not_there_cannot_be_deleted(db: Db) -> None:
    assert (await db.delete("/a", rev="1-a")).refused(404, "not_found") == "missing"
    assert (await db.delete("/a")).refused(404, "not_found") == "missing"
    rev = await db.save("a")
    gone = await db.remove("a", rev)
    assert (await db.delete("/a", rev=gone)).refused(404, "not_found") == "deleted"
    assert (await db.changes())["results"][0]["changes"] == [{"rev": gone}]


async def test_a_deleted_document_is_written_again_as_a_new_one(db: Db) -> None:
    gone = await db.remove("a", await db.save("a", x=1))
    (await db.put("/a", {"x": 2, "_rev": gone})).refused(409, "conflict")
    (await db.put("/a", {"_deleted": True})).refused(409, "conflict")
    rev = await db.save("a", x=2)
    assert rev.startswith("3-")
    assert (await db.get("/a")).ok() == {"_id": "a", "_rev": rev, "x": 2}
    assert (await db.get("")).ok()["doc_del_count"] == 0


async def test_a_posted_document_brings_its_id_or_gets_one(db: Db) -> None:
    named = (await db.post("", {"_id": "a", "x": 1})).ok(201)
    assert named["id"] == "a"
    unnamed = [(await db.post("", {"x": 2})).ok(201)["id"] for _ in range(2)]
    assert len({"a", *unnamed}) == 3
    assert (await db.get(f"/{unnamed[0]}")).ok()["x"] == 2
    (await db.post("", {"_id": "a", "x": 2})).refused(409, "conflict")


async def test_a_posted_document_is_told_its_url(db: Db) -> None:
    answer = await db.post("", {"_id": "a b/c", "x": 1})
    assert answer.headers["Location"].endswith(f"/{db.name}/a%20b%2Fc")
    assert (await db.get(answer.headers["Location"].rpartition(db.name)[2])).ok()["x"] == 1


async def test_the_id_of_the_url_holds(db: Db) -> None:
    assert (await db.put("/a", {"_id": "b", "x": 1})).ok(201)["id"] == "a"
    assert (await db.get("/a")).ok()["_id"] == "a"
    (await db.get("/b")).refused(404, "not_found")


@pytest.mark.parametrize(
    "doc_id",
    [
        "session:0afde8f0",
        "a/b",
        "a%b",
        "a%2Fb",
        "a b",
        "a+b",
        "é",
        "𝄞",
        "a?b#c",
        "{a}",
        "a.b",
        "'\"",
        "~",
        "ä" * 200,
    ],
)
async def test_an_id_may_hold_any_sign(db: Db, doc_id: str) -> None:
    path = f"/{quote(doc_id, safe='')}"
    assert (await db.put(path, {"x": 1})).ok(201)["id"] == doc_id
    assert (await db.get(path)).ok()["_id"] == doc_id
    (row,) = (await db.changes())["results"]
    assert row["id"] == doc_id
    assert (await db.delete(path, rev=row["changes"][0]["rev"])).ok()["id"] == doc_id


@pytest.mark.parametrize("doc_id", ["_secret", "_", "_local_docs2"])
async def test_ids_that_begin_with_an_underscore_are_reserved(db: Db, doc_id: str) -> None:
    (await db.post("", {"_id": doc_id})).refused(400, "illegal_docid")


async def test_a_design_document_is_a_document(db: Db) -> None:
    rev = (await db.put("/_design/views", {"language": "javascript"})).ok(201)["rev"]
    assert (await db.get("/_design/views")).ok() == {
        "_id": "_design/views", "_rev": rev, "language": "javascript",
    }  # fmt: skip
    assert (await db.changes())["results"][0]["id"] == "_design/views"
    (await db.delete("/_design/views", rev=rev)).ok()


@pytest.mark.parametrize("member", ["_unknown", "_", "_revs"])
async def test_an_unknown_reserved_member_is_refused(db: Db, member: str) -> None:
    reason = (await db.put("/a", {member: 1})).refused(400, "doc_validation")
    assert member in reason
    (await db.get("/a")).refused(404, "not_found")


@pytest.mark.parametrize("member", ["_conflicts", "_deleted_conflicts", "_revs_info", "_local_seq"])
async def test_members_that_a_server_derives_may_come_back(db: Db, member: str) -> None:
    rev = await db.save("a", **{member: [], "x": 1})
    assert (await db.get("/a")).ok() == {"_id": "a", "_rev": rev, "x": 1}


@pytest.mark.parametrize("rev", ["", "1", "a", "x-1", "-1", "1_a"])
async def test_what_is_no_revision_is_refused(db: Db, rev: str) -> None:
    await db.save("a")
    assert (await db.get("/a", rev=rev)).refused(400, "bad_request")
    assert (await db.put("/a", {"_rev": rev})).refused(400, "bad_request")
    assert (await db.delete("/a", rev=rev)).refused(400, "bad_request")


async def test_an_unknown_revision_is_missing(db: Db) -> None:
    await db.save("a")
    assert (await db.get("/a", rev="1-abc")).refused(404, "not_found") == "missing"
    assert (await db.get("/b", rev="1-abc")).refused(404, "not_found") == "missing"


@pytest.mark.parametrize("text", [b"", b"{", b"nope", b'{"x":}', b"\xff{}", b'{"x":"\xff"}', b'{"x":1}}'])
async def test_what_is_not_json_is_refused(db: Db, text: bytes) -> None:
    (await db.call("PUT", "/a", data=text, headers=JSON)).refused(400, "bad_request")
    (await db.call("POST", "", data=text, headers=JSON)).refused(400, "bad_request")


@pytest.mark.parametrize("value", [5, None, [], [{}], "text", True])
async def test_what_is_no_object_is_no_document(db: Db, value: Any) -> None:
    text = json.dumps(value).encode()
    (await db.call("PUT", "/a", data=text, headers=JSON)).refused(400, "bad_request")

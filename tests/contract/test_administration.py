"""A database's limits, its security object, purging and compaction."""

import asyncio
import base64
import os
from typing import Any

import pytest

from tests.contract.couch import Db, replicated


async def quiet(db: Db) -> Any:
    """The database's info once no compaction runs."""
    while (told := (await db.get("")).ok())["compact_running"]:  # noqa: ASYNC110 (over HTTP nobody tells)
        await asyncio.sleep(0.01)
    return told


async def test_a_security_object_is_kept(db: Db) -> None:
    told = {"admins": {"names": ["ann"], "roles": []}, "members": {"names": [], "roles": ["lima"]}}
    assert (await db.put("/_security", told)).ok() == {"ok": True}
    assert (await db.get("/_security")).ok() == told


async def test_a_new_database_is_its_administrators(db: Db) -> None:
    told = (await db.get("/_security")).ok()
    assert told["admins"]["roles"] == told["members"]["roles"] == ["_admin"]


@pytest.mark.parametrize("told", [[], "x", {"admins": {"names": "ann"}}, {"members": {"roles": [1]}}])
async def test_a_malformed_security_object_is_refused(db: Db, told: Any) -> None:
    before = (await db.get("/_security")).ok()
    assert (await db.put("/_security", told)).status == 400
    assert (await db.get("/_security")).ok() == before


@pytest.mark.parametrize("name", ["_revs_limit", "_purged_infos_limit"])
async def test_a_limit_is_set(db: Db, name: str) -> None:
    assert (await db.get(f"/{name}")).ok() == 1000
    assert (await db.put(f"/{name}", 7)).ok() == {"ok": True}
    assert (await db.get(f"/{name}")).ok() == 7
    for wrong in ("7", 1.5, [7], None):
        assert (await db.put(f"/{name}", wrong)).status >= 400
    assert (await db.put(f"/{name}", -1)).status >= 400
    assert (await db.get(f"/{name}")).ok() == 7


async def test_a_document_is_stemmed_at_its_next_write(db: Db) -> None:
    rev = await db.save("a")
    for x in range(5):
        rev = await db.save("a", _rev=rev, x=x)
    (await db.put("/_revs_limit", 3)).ok()
    rev = await db.save("a", _rev=rev)
    told = (await db.get("/a", revs="true")).ok()
    assert (told["_rev"], len(told["_revisions"]["ids"])) == (rev, 3)


async def test_a_purged_document_was_never_there(db: Db) -> None:
    await db.save("b")
    rev = await db.save("a", x=1)
    before = (await db.get("")).ok()
    answer = (await db.post("/_purge", {"a": [rev]})).ok(201)
    assert answer == {"purge_seq": None, "purged": {"a": [rev]}}
    assert (await db.get("/a")).refused(404, "not_found") == "missing"
    assert [row["id"] for row in (await db.changes())["results"]] == ["b"]
    told = (await db.get("")).ok()
    assert (told["doc_count"], told["doc_del_count"]) == (1, 0)
    assert told["purge_seq"] != before["purge_seq"]
    assert (await db.post("/_revs_diff", {"a": [rev]})).ok()["a"]["missing"] == [rev]
    assert (await db.save("a", x=1)) == rev


async def test_a_purge_of_the_winner_shows_the_other_leaf_at_a_new_sequence(db: Db) -> None:
    await db.push(replicated("a", "3-y", "2-x", "1-a", x="y"), replicated("a", "2-b", "1-a", x="b"))
    await db.save("later")
    assert (await db.get("/a")).ok()["_rev"] == "3-y"
    (await db.post("/_purge", {"a": ["3-y"]})).ok(201)
    assert (await db.get("/a", conflicts="true")).ok() == {"_id": "a", "_rev": "2-b", "x": "b"}
    assert [row["id"] for row in (await db.changes())["results"]] == ["later", "a"]
    # What only the purged leaf stood on went with it.
    asked = {"a": ["3-y", "2-x", "2-b", "1-a"]}
    assert set((await db.post("/_revs_diff", asked)).ok()["a"]["missing"]) == {"3-y", "2-x"}


async def test_a_lower_limit_hides_nothing_before_the_next_write(db: Db) -> None:
    rev = await db.save("a")
    for x in range(5):
        rev = await db.save("a", _rev=rev, x=x)
    (await db.put("/_revs_limit", 3)).ok()
    assert len((await db.get("/a", revs="true")).ok()["_revisions"]["ids"]) == 6


async def test_only_leaves_are_purged(db: Db) -> None:
    await db.push(replicated("a", "2-b", "1-a"))
    asked = {"a": ["1-a", "7-x"], "unknown": ["1-a"]}
    answer = (await db.post("/_purge", asked)).ok(201)
    assert answer["purged"] == {"a": [], "unknown": []}
    assert (await db.get("/a")).ok()["_rev"] == "2-b"


async def test_a_deletion_can_be_purged(db: Db) -> None:
    rev = await db.remove("a", await db.save("a"))
    assert (await db.get("")).ok()["doc_del_count"] == 1
    (await db.post("/_purge", {"a": [rev]})).ok(201)
    assert (await db.get("")).ok()["doc_del_count"] == 0
    assert (await db.changes())["results"] == []


@pytest.mark.parametrize("asked", [[], {"a": "1-a"}, {"a": ["x"]}, {"a": [1]}])
async def test_a_malformed_purge_is_refused(db: Db, asked: Any) -> None:
    assert (await db.post("/_purge", asked)).status == 400


async def test_compaction_drops_old_content_and_keeps_leaves(db: Db) -> None:
    old = await db.save("a", x="old" * 1000)
    rev = await db.save("a", _rev=old, x="new")
    await db.push(replicated("a", "2-0", f"1-{old[2:]}", x="branch"))
    (await db.put("/a-file", {"_attachments": {"f": {"data": "aGk="}}})).ok(201)
    assert (await db.post("/_compact", {})).ok(202) == {"ok": True}
    await quiet(db)
    assert (await db.get("/a", rev=old)).refused(404, "not_found") == "missing"
    assert (await db.get("/a", rev=rev)).ok()["x"] == "new"
    assert (await db.get("/a", rev="2-0")).ok()["x"] == "branch"
    assert (await db.get("/a-file/f")).body == b"hi"
    info = (await db.get("/a", revs_info="true")).ok()["_revs_info"]
    assert [(told["rev"], told["status"]) for told in info] == [(rev, "available"), (old, "missing")]
    assert (await db.post("/_revs_diff", {"a": [old, rev]})).ok() == {}


async def test_compaction_gives_back_space(db: Db) -> None:
    rev = ""
    for _ in range(8):
        data = base64.b64encode(os.urandom(300_000)).decode()
        content: dict[str, Any] = {"_rev": rev} if rev else {}
        rev = await db.save("a", **content, _attachments={"f": {"data": data}})
    before = (await quiet(db))["sizes"]
    (await db.post("/_compact", {})).ok(202)
    after = before
    async with asyncio.timeout(30):  # a cluster's shards may begin after the answer
        while after["file"] >= before["file"] / 2:
            after = (await quiet(db))["sizes"]
            await asyncio.sleep(0.01)
    # A CouchDB's never counted what compaction drops.
    assert after["active"] <= before["active"]
    assert len((await db.get("/a/f")).body) == 300_000


async def test_sizes_grow_with_what_is_stored(db: Db) -> None:
    before = (await db.get("")).ok()["sizes"]
    await db.save("a", x="y" * 100_000)
    after = (await db.get("")).ok()["sizes"]
    assert 100_000 < after["external"] - before["external"] < 101_000
    assert after["active"] > before["active"]
    assert after["file"] >= after["active"]


async def test_views_are_compacted_where_their_design_document_is(db: Db) -> None:
    (await db.post("/_compact/views", {})).refused(404, "not_found")
    await db.save("_design/views", language="javascript")
    assert (await db.post("/_compact/views", {})).ok(202) == {"ok": True}
    assert (await db.post("/_view_cleanup", {})).ok(202) == {"ok": True}

"""Checkpoints: documents of one database that no feed shows and nobody replicates."""

import pytest

from tests.contract.couch import JSON, Db


async def test_a_checkpoint_is_read_as_it_was_written(db: Db) -> None:
    assert (await db.put("/_local/mark", {"seq": 1})).ok(201) == {
        "ok": True,
        "id": "_local/mark",
        "rev": "0-1",
    }
    assert (await db.get("/_local/mark")).ok() == {"_id": "_local/mark", "_rev": "0-1", "seq": 1}


async def test_each_write_counts_on_from_its_base(db: Db) -> None:
    await db.put("/_local/mark", {"seq": 1})
    again = await db.put("/_local/mark", {"_id": "_local/mark", "_rev": "0-1", "seq": 2})
    assert again.ok(201)["rev"] == "0-2"
    assert (await db.get("/_local/mark")).ok() == {"_id": "_local/mark", "_rev": "0-2", "seq": 2}


async def test_the_last_writer_wins(db: Db) -> None:
    """A replicator whose answer was lost writes again with the base that it had."""
    await db.put("/_local/mark", {"seq": 1})
    for seq in (2, 3):
        answer = await db.put("/_local/mark", {"_rev": "0-1", "seq": seq})
        assert answer.ok(201)["rev"] == "0-2"
    assert (await db.get("/_local/mark")).ok()["seq"] == 3


async def test_a_checkpoint_is_no_document(db: Db) -> None:
    await db.put("/_local/mark", {"seq": 1})
    assert (await db.changes())["results"] == []
    assert (await db.get("/_all_docs")).ok()["rows"] == []
    assert (await db.get("")).ok()["doc_count"] == 0
    (await db.get("/mark")).refused(404, "not_found")


async def test_a_deleted_checkpoint_is_gone(db: Db) -> None:
    await db.put("/_local/mark", {"seq": 1})
    answer = await db.delete("/_local/mark", rev="0-1")
    assert answer.ok() == {"ok": True, "id": "_local/mark", "rev": "0-0"}
    assert (await db.get("/_local/mark")).refused(404, "not_found") == "missing"
    assert (await db.delete("/_local/mark")).refused(404, "not_found") == "missing"
    assert (await db.put("/_local/mark", {"seq": 2})).ok(201)["rev"] == "0-1"


async def test_a_checkpoint_may_be_deleted_by_writing_so(db: Db) -> None:
    await db.put("/_local/mark", {"seq": 1})
    gone = {"ok": True, "id": "_local/mark", "rev": "0-0"}
    assert (await db.put("/_local/mark", {"_rev": "0-1", "_deleted": True})).ok() == gone
    (await db.get("/_local/mark")).refused(404, "not_found")
    assert (await db.put("/_local/mark", {"_deleted": True})).ok() == gone


async def test_an_unknown_reserved_member_is_refused(db: Db) -> None:
    reason = (await db.put("/_local/mark", {"_mark": 1})).refused(400, "doc_validation")
    assert reason == "Bad special document member: _mark"


@pytest.mark.parametrize("name", ["a.b_c==", "%C3%A9", "a%2Fb", "a%20b"])
async def test_a_checkpoint_may_have_any_name(db: Db, name: str) -> None:
    (await db.put(f"/_local/{name}", {"seq": 1})).ok(201)
    assert (await db.get(f"/_local/{name}")).ok()["seq"] == 1


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b'{"_rev":"x"}', b'{"_rev":5}', b'{"x":"\xff"}'])
async def test_what_is_no_checkpoint_is_refused(db: Db, text: bytes) -> None:
    answer = await db.call("PUT", "/_local/mark", data=text, headers=JSON)
    assert answer.status == 400
    (await db.get("/_local/mark")).refused(404, "not_found")

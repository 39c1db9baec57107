"""Branches of a document: which revision is shown, and how the others are found."""

import json
from typing import Any

import pytest

from tests.contract.couch import Db, replicated

FIRST = "0" * 31 + "1"
WINNER = "f" * 31 + "2"
LOSER = "a" * 31 + "2"
DEEPER = "1" * 31 + "3"


@pytest.fixture
async def branched(db: Db) -> Db:
    """One document with two leaves at position 2."""
    await db.push(
        replicated("a", f"2-{LOSER}", f"1-{FIRST}", x="loser"),
        replicated("a", f"2-{WINNER}", f"1-{FIRST}", x="winner"),
    )
    return db


async def test_the_greater_id_wins_whatever_came_last(db: Db, other_db: Db) -> None:
    docs = [replicated("a", f"2-{name}", f"1-{FIRST}", x=name) for name in (LOSER, WINNER)]
    await db.push(*docs)
    await other_db.push(docs[1])
    await other_db.push(docs[0])
    assert (await db.get("/a")).ok() == (await other_db.get("/a")).ok()
    assert (await db.get("/a")).ok()["_rev"] == f"2-{WINNER}"


async def test_a_longer_branch_wins(branched: Db) -> None:
    await branched.push(replicated("a", f"3-{DEEPER}", f"2-{LOSER}", f"1-{FIRST}", x="deeper"))
    assert (await branched.get("/a")).ok()["x"] == "deeper"


async def test_a_live_branch_wins_over_a_deleted_one(branched: Db) -> None:
    (await branched.delete("/a", rev=f"2-{WINNER}")).ok()
    assert (await branched.get("/a")).ok()["x"] == "loser"
    (await branched.delete("/a", rev=f"2-{LOSER}")).ok()
    assert (await branched.get("/a")).refused(404, "not_found") == "deleted"
    assert len(await branched.leaves("a")) == 2


async def test_every_leaf_may_be_edited(branched: Db) -> None:
    rev = (await branched.put("/a", {"_rev": f"2-{LOSER}", "x": "edited"})).ok(201)["rev"]
    assert await branched.leaves("a") == {rev, f"2-{WINNER}"}
    assert (await branched.get("/a")).ok()["_rev"] == rev


async def test_a_revision_is_read_by_its_name(branched: Db) -> None:
    assert (await branched.get("/a", rev=f"2-{LOSER}")).ok()["x"] == "loser"
    # Known by name only: nobody ever sent its content.
    assert (await branched.get("/a", rev=f"1-{FIRST}")).refused(404, "not_found") == "missing"


async def test_conflicts_are_the_other_live_leaves(branched: Db) -> None:
    assert (await branched.get("/a", conflicts="true")).ok()["_conflicts"] == [f"2-{LOSER}"]
    assert "_conflicts" not in (await branched.get("/a")).ok()
    (await branched.delete("/a", rev=f"2-{LOSER}")).ok()
    assert "_conflicts" not in (await branched.get("/a", conflicts="true")).ok()


async def test_revisions_tell_the_ancestors(branched: Db) -> None:
    shown = (await branched.get("/a", revs="true")).ok()
    assert shown["_revisions"] == {"start": 2, "ids": [WINNER, FIRST]}
    shown = (await branched.get("/a", revs="true", rev=f"2-{LOSER}")).ok()
    assert shown["_revisions"] == {"start": 2, "ids": [LOSER, FIRST]}


async def test_revision_info_tells_what_is_kept_of_the_ancestors(db: Db) -> None:
    await db.push(replicated("a", f"1-{FIRST}"), replicated("b", f"2-{WINNER}", f"1-{FIRST}"))
    second = await db.save("a", _rev=f"1-{FIRST}")
    assert (await db.get("/a", revs_info="true")).ok()["_revs_info"] == [
        {"rev": second, "status": "available"},
        {"rev": f"1-{FIRST}", "status": "available"},
    ]
    assert (await db.get("/b", revs_info="true")).ok()["_revs_info"] == [
        {"rev": f"2-{WINNER}", "status": "available"},
        {"rev": f"1-{FIRST}", "status": "missing"},
    ]


async def test_revision_info_knows_deletions(db: Db) -> None:
    gone = await db.remove("a", await db.save("a"))
    rev = await db.save("a", x=1)
    told = (await db.get("/a", revs_info="true")).ok()["_revs_info"]
    assert told[:2] == [{"rev": rev, "status": "available"}, {"rev": gone, "status": "deleted"}]


async def test_meta_asks_for_all_of_it(branched: Db) -> None:
    shown = (await branched.get("/a", meta="true")).ok()
    assert shown["_conflicts"] == [f"2-{LOSER}"]
    assert shown["_revs_info"][0] == {"rev": f"2-{WINNER}", "status": "available"}


def by_rev(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {row["missing"] if "missing" in row else row["ok"]["_rev"]: row.get("ok") for row in rows}


async def test_all_open_revisions_are_all_leaves(branched: Db) -> None:
    (await branched.delete("/a", rev=f"2-{LOSER}")).ok()
    shown = by_rev((await branched.get("/a", open_revs="all")).ok())
    assert len(shown) == 2
    assert shown[f"2-{WINNER}"]["x"] == "winner"
    (deleted,) = (doc for rev, doc in shown.items() if rev != f"2-{WINNER}")
    assert deleted["_deleted"] is True


async def test_open_revisions_are_shown_or_told_to_be_missing(branched: Db) -> None:
    asked = [f"2-{LOSER}", "2-unknown", f"1-{FIRST}"]
    rows = (await branched.get("/a", open_revs=json.dumps(asked), revs="true")).ok()
    shown = by_rev(rows)
    assert set(shown) == set(asked)
    assert shown[f"2-{LOSER}"]["_revisions"] == {"start": 2, "ids": [LOSER, FIRST]}
    assert shown["2-unknown"] is None
    assert shown[f"1-{FIRST}"] is None


async def test_the_latest_of_an_old_revision_are_the_leaves_that_it_became(branched: Db) -> None:
    asked = json.dumps([f"1-{FIRST}"])
    shown = by_rev((await branched.get("/a", open_revs=asked, latest="true")).ok())
    assert set(shown) == {f"2-{WINNER}", f"2-{LOSER}"}
    asked = json.dumps([f"2-{LOSER}", "9-unknown"])
    shown = by_rev((await branched.get("/a", open_revs=asked, latest="true")).ok())
    assert {rev: doc and doc["x"] for rev, doc in shown.items()} == {f"2-{LOSER}": "loser", "9-unknown": None}


async def test_the_latest_without_open_revisions_is_the_winner(branched: Db) -> None:
    shown = (await branched.get("/a", rev=f"2-{LOSER}", latest="true")).ok()
    assert shown["_rev"] == f"2-{WINNER}"


async def test_open_revisions_of_an_unknown_document(db: Db) -> None:
    (await db.get("/a", open_revs="all")).refused(404, "not_found")
    assert (await db.get("/a", open_revs='["1-abc"]')).ok() == [{"missing": "1-abc"}]


@pytest.mark.parametrize("asked", ["", "some", '"1-a"', "[1]", '["x"]', "{}", "null"])
async def test_open_revisions_that_cannot_be_read_are_refused(branched: Db, asked: str) -> None:
    (await branched.get("/a", open_revs=asked)).refused(400, "bad_request")


async def test_a_document_may_be_put_with_a_revision_of_its_own(db: Db) -> None:
    document = replicated("a", f"2-{WINNER}", f"1-{FIRST}", x=1)
    answer = await db.put("/a", document, new_edits="false")
    assert answer.ok(201)["rev"] == f"2-{WINNER}"
    (await db.put("/a", {"x": 1}, new_edits="false")).refused(400, "bad_request")
    await db.put("/a", replicated("a", f"2-{LOSER}", f"1-{FIRST}"), new_edits="false")
    assert await db.leaves("a") == {f"2-{WINNER}", f"2-{LOSER}"}


async def test_an_old_revision_that_comes_again_changes_nothing(db: Db) -> None:
    revs = [await db.save("a", x=0)]
    revs += [await db.save("a", x=1, _rev=revs[-1])]
    before = await db.changes(style="all_docs")
    await db.push({"_id": "a", "_rev": revs[0], "x": 0})
    after = await db.changes(style="all_docs")
    assert [row["changes"] for row in after["results"]] == [row["changes"] for row in before["results"]]
    assert await db.leaves("a") == {revs[1]}


async def test_deleted_leaves_and_the_sequence_are_told_of_the_winner(db: Db) -> None:
    await db.push(
        replicated("a", "2-b", "1-a"),
        replicated("a", "2-c", "1-a", _deleted=True),
        replicated("a", "2-a", "1-a"),
    )
    assert (await db.get("/a", deleted_conflicts="true")).ok()["_deleted_conflicts"] == ["2-c"]
    meta = (await db.get("/a", meta="true")).ok()
    assert (meta["_conflicts"], meta["_deleted_conflicts"]) == (["2-a"], ["2-c"])
    assert isinstance((await db.get("/a", local_seq="true")).ok()["_local_seq"], int)
    assert "_deleted_conflicts" not in (await db.get("/a", conflicts="true")).ok()


@pytest.mark.parametrize("option", ["meta", "conflicts", "deleted_conflicts", "revs_info", "local_seq"])
async def test_a_named_revision_is_shown_without_what_is_said_of_the_document(db: Db, option: str) -> None:
    await db.push(replicated("a", "2-b", "1-a"), replicated("a", "2-a", "1-a"))
    assert (await db.get("/a", **{"rev": "2-a", option: "true"})).ok() == {"_id": "a", "_rev": "2-a"}
    rows = (await db.get("/a", **{"open_revs": '["2-a"]', option: "true"})).ok()
    assert rows == [{"ok": {"_id": "a", "_rev": "2-a"}}]

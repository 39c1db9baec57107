"""A real PouchDB, both directions, compared leaf by leaf: revision, history, content, attachments."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from replication.http.access import allow_everything
from tests.contract.couch import Couch, Db, embedded_in, fresh_database, replicated
from tests.contract.varied import LEAVES, varied_documents
from tests.interop.pouchdb import node, run_tablet


@pytest.fixture(scope="module")
def node_executable() -> str:
    return node()


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "store", allow_everything) as running:
        yield running


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


@pytest.fixture
async def other_db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


def comparable(leaves: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Without what each side counts for itself: `revpos` of PouchDB begins at 1 for a replicated edit."""
    for documents in leaves.values():
        for document in documents:
            for attachment in document.get("_attachments", {}).values():
                attachment.pop("revpos", None)
    return leaves


async def test_every_leaf_of_a_tablet_arrives(db: Db, node_executable: str) -> None:
    job = {"url": db.base, "edits": varied_documents(), "steps": ["push", "leaves"]}
    tablet = await run_tablet(node_executable, job)
    assert tablet["denied"] == []
    assert tablet["steps"][0]["written"] == LEAVES
    assert comparable(await db.everything()) == comparable(tablet["leaves"])


async def test_every_leaf_of_the_server_arrives(db: Db, node_executable: str) -> None:
    await db.push(*varied_documents())
    tablet = await run_tablet(node_executable, {"url": db.base, "steps": ["pull", "leaves"]})
    assert comparable(tablet["leaves"]) == comparable(await db.everything())


async def test_two_sides_that_edited_the_same_document_end_with_the_same_conflict(
    db: Db, node_executable: str
) -> None:
    await db.push(replicated("a", "2-s", "1-a", by="server"), replicated("b", "1-b", by="server"))
    edits = [replicated("a", "2-t", "1-a", by="tablet"), replicated("b", "2-t", "1-b", _deleted=True)]
    tablet = await run_tablet(node_executable, {"url": db.base, "edits": edits, "steps": ["sync", "leaves"]})
    here = await db.everything()
    assert comparable(tablet["leaves"]) == comparable(here)
    assert [leaf["_rev"] for leaf in here["a"]] == ["2-s", "2-t"]
    assert [leaf["_rev"] for leaf in here["b"]] == ["2-t"]


async def test_an_edit_against_a_deletion_survives_on_both_sides(db: Db, node_executable: str) -> None:
    await db.push(replicated("a", "2-x", "1-a", _deleted=True))
    edits = [replicated("a", "2-b", "1-a", n=2)]
    tablet = await run_tablet(node_executable, {"url": db.base, "edits": edits, "steps": ["sync", "leaves"]})
    assert comparable(tablet["leaves"]) == comparable(await db.everything())
    assert (await db.get("/a")).ok()["_rev"] == "2-b"


async def test_a_document_deleted_and_written_again_is_one_branch(db: Db, node_executable: str) -> None:
    job = {"url": db.base, "docs": [{"_id": "a", "n": 1}], "ids": ["a"], "steps": ["push", "remove", "push"]}
    await run_tablet(node_executable, job)
    assert (await db.get("/a")).status == 404
    rev = await db.save("a", n=2)
    assert rev.startswith("3-")
    tablet = await run_tablet(node_executable, {"url": db.base, "steps": ["pull", "leaves"]})
    assert comparable(tablet["leaves"]) == comparable(await db.everything())


@pytest.mark.parametrize("options", [{"doc_ids": ["a", "c"]}, {"selector": {"keep": True}}])
async def test_filtered_pulls_bring_what_they_name(
    db: Db, node_executable: str, options: dict[str, Any]
) -> None:
    await db.push(
        replicated("a", "1-a", keep=True),
        replicated("b", "1-b", keep=False),
        replicated("c", "1-c", keep=True),
    )
    job = {"url": db.base, "options": options, "steps": ["pull", "leaves"]}
    assert sorted((await run_tablet(node_executable, job))["leaves"]) == ["a", "c"]


async def test_a_tablet_that_lost_its_checkpoint_sends_nothing_twice(db: Db, node_executable: str) -> None:
    edits = [replicated(f"d{number}", "1-a", n=number) for number in range(60)]
    await run_tablet(node_executable, {"url": db.base, "edits": edits})
    before = (await db.get("")).ok()["update_seq"]
    again = await run_tablet(node_executable, {"url": db.base, "edits": edits})
    assert again["steps"][0]["written"] == 0
    assert (await db.get("")).ok()["update_seq"] == before


async def test_what_a_tablet_pushed_goes_on_to_another_server_and_back_to_a_tablet(
    couch: Couch, db: Db, other_db: Db, node_executable: str
) -> None:
    first = await run_tablet(
        node_executable, {"url": db.base, "edits": varied_documents(), "steps": ["push", "leaves"]}
    )
    (await couch.post("/_replicate", {"source": db.name, "target": other_db.base})).ok()
    last = await run_tablet(node_executable, {"url": other_db.base, "steps": ["pull", "leaves"]})
    assert comparable(last["leaves"]) == comparable(first["leaves"])

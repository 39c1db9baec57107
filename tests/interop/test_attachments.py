"""Binary attachments of a real PouchDB, pushed and pulled, and of a replicator that speaks multipart."""

import base64
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from replication.http.access import allow_everything
from tests.contract.couch import Db, embedded_in, fresh_database, replicated
from tests.contract.parts import Sent, content, digest, get_parts, parts_of, put_document, read
from tests.interop.pouchdb import node, run_tablet

SIGNATURE = bytes(range(256)) * 40
VIDEO = random.Random(3).randbytes(5 * 1024 * 1024)
FILES = {
    "signature.png": ("image/png", SIGNATURE),
    "room.mp4": ("video/mp4", VIDEO),
    "none": ("text/plain", b""),
}


@pytest.fixture(scope="module")
def node_executable() -> str:
    return node()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Db]:
    """An empty database of the embedded store, open to everybody."""
    async with embedded_in(tmp_path / "store", allow_everything) as couch, fresh_database(couch) as database:
        yield database


def consent(**members: Any) -> dict[str, Any]:
    files = {
        name: {"content_type": content_type, "data": base64.b64encode(data).decode()}
        for name, (content_type, data) in FILES.items()
    }
    return {"_id": "consent:1", "type": "consent", "_attachments": files, **members}


def data_of(document: dict[str, Any]) -> dict[str, bytes]:
    return {name: base64.b64decode(kept["data"]) for name, kept in document["_attachments"].items()}


async def test_a_tablet_pushes_its_attachments_and_another_one_pulls_the_same(
    db: Db, node_executable: str
) -> None:
    pushed = await run_tablet(node_executable, {"url": db.base, "docs": [consent()]})
    assert pushed["denied"] == []
    shown = (await db.get("/consent%3A1")).ok()
    assert shown["_rev"] == pushed["revs"]["consent:1"]
    for name, (content_type, data) in FILES.items():
        answer = await db.get(f"/consent%3A1/{name}")
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, data, content_type)
        assert shown["_attachments"][name]["digest"] == digest(data)
    pulled = await run_tablet(
        node_executable, {"url": db.base, "steps": ["pull", "get"], "ids": ["consent:1"]}
    )
    assert pulled["revs"] == pushed["revs"]
    assert data_of(pulled["docs"][0]) == {name: data for name, (_, data) in FILES.items()}


async def test_an_edit_on_the_tablet_keeps_the_attachments_that_it_names_by_stubs(
    db: Db, node_executable: str
) -> None:
    known = {"content_type": "video/mp4", "digest": digest(VIDEO), "length": len(VIDEO), "revpos": 1}
    stubs = {"room.mp4": {**known, "stub": True}}
    job = {
        "url": db.base, "docs": [consent()], "steps": ["push", "save", "push"],
        "later": [{"_id": "consent:1", "signed": True, "_attachments": stubs}],
    }  # fmt: skip
    pushed = await run_tablet(node_executable, job)
    shown = (await db.get("/consent%3A1")).ok()
    assert (shown["_rev"], shown["signed"]) == (pushed["revs"]["consent:1"], True)
    assert {name: kept["revpos"] for name, kept in shown["_attachments"].items()} == {"room.mp4": 1}
    assert (await db.get("/consent%3A1/room.mp4")).body == VIDEO


async def test_what_a_replicator_pushes_in_parts_a_tablet_pulls_and_the_other_way_round(
    db: Db, node_executable: str
) -> None:
    sent = {name: Sent(content_type, data) for name, (content_type, data) in FILES.items()}
    document = replicated("consent:2", "2-b", "1-a", type="consent")
    (await put_document(db, document, sent)).ok(201)
    job = {"url": db.base, "docs": [consent()], "steps": ["push", "pull", "get"], "ids": ["consent:2"]}
    tablet = await run_tablet(node_executable, job)
    assert tablet["revs"]["consent:2"] == "2-b"
    assert data_of(tablet["docs"][0]) == {name: data for name, (_, data) in FILES.items()}
    answer = await get_parts(
        db, "/consent%3A1", "multipart/mixed", open_revs="all", revs="true", attachments="true"
    )
    (leaf,) = parts_of(read(answer))
    _, *attached = parts_of(leaf)
    assert {str(one.get_filename()): content(one) for one in attached} == data_of(consent())

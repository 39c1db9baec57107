"""A real Apache CouchDB replicates with this store: its replicator and ours, both ways.

Runs where `TEST_COUCHDB_URL` names one; `docs/PROTOCOL.md` says how.
"""

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from replication.http.access import allow_everything
from tests.contract.couch import Couch, Db, apache, embedded_in, fresh_database
from tests.contract.varied import LEAVES, varied_documents

APACHE = os.environ.get("TEST_COUCHDB_URL", "")

pytestmark = pytest.mark.skipif(not APACHE, reason="TEST_COUCHDB_URL names no Apache CouchDB")

BIG = {
    "_id": "big",
    "_rev": "1-b",
    "_attachments": {
        "scan": {
            "content_type": "application/octet-stream",
            "data": base64.b64encode(bytes(range(256)) * 20_000).decode(),
            "revpos": 1,
        }
    },
}


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "store", allow_everything) as running:
        yield running


@pytest.fixture
async def theirs() -> AsyncIterator[Couch]:
    async with apache(APACHE) as running:
        yield running


def named(db: Db) -> dict[str, Any]:
    sent = {name: value for name, value in db.session.headers.items() if name == "Authorization"}
    return {"url": db.base, "headers": sent}


async def content(db: Db) -> dict[str, Any]:
    """Every leaf with its history and bytes. CouchDB packs text, and digests tell of what is packed."""
    found = await db.everything()
    for leaves in found.values():
        for document in leaves:
            for attachment in document.get("_attachments", {}).values():
                if attachment["content_type"].startswith("text/"):
                    del attachment["digest"]
    return found


@pytest.mark.parametrize("replicator", ["ours", "theirs"])
async def test_everything_goes_to_couchdb_and_comes_back(ours: Couch, theirs: Couch, replicator: str) -> None:
    runs_it = ours if replicator == "ours" else theirs
    async with fresh_database(ours) as first, fresh_database(theirs) as there, fresh_database(ours) as back:
        await first.push(*varied_documents(), BIG)
        expected = await content(first)
        for source, target in ((first, there), (there, back)):
            job = {"source": named(source), "target": named(target)}
            answer = (await runs_it.post("/_replicate", job)).ok()
            assert answer["history"][0]["docs_written"] == LEAVES + 1
            assert answer["history"][0]["doc_write_failures"] == 0
            assert await content(target) == expected
            assert (await runs_it.post("/_replicate", job)).ok()["no_changes"]

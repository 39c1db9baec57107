"""What stands between two of the system's parts loses, cuts and refuses at random: all arrives, each once."""

import base64
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from replication.client import CouchClient
from replication.http.access import allow_everything
from reporting.engine import connect
from sync_server.app import build_app
from sync_server.feed import CouchFeed
from sync_server.settings import Settings
from tests.contract.couch import Couch, Db, apache, embedded_in, replicated
from tests.couchdb.chaos_proxy import SPOILING, chaos_before
from tests.couchdb.test_quirks import leaves, project, prove
from tests.end_to_end.traffic import Traffic
from tests.gateway.gateway import Gateway
from tests.interop.pouchdb import node, run_tablet

APACHE = os.environ.get("TEST_COUCHDB_URL", "")
SESSIONS = 960
IN_CONFLICT = 60
CONSENTS = 40
PUBLISHED = 120


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[tuple[Couch, str]]:
    """The store behind the gateway, and its URL with a login where it wants one."""
    if APACHE:
        async with apache(APACHE) as couch:
            yield couch, APACHE
    else:
        async with embedded_in(tmp_path / "behind", allow_everything) as couch:
            yield couch, couch.base


@asynccontextmanager
async def site_of(couch: Couch) -> AsyncIterator[tuple[str, Db]]:
    """An empty site that nobody else has."""
    site = f"suite{uuid.uuid4().hex[:10]}"
    (await couch.call("PUT", f"/site-{site}", query={"q": "1"})).ok(201)
    try:
        yield site, Db(f"{couch.base}/site-{site}", couch.session, f"site-{site}")
    finally:
        await couch.delete(f"/site-{site}")


def what_a_tablet_holds() -> list[dict[str, Any]]:
    """1,000 documents: sessions with a history, some in conflict, and consents with a signature."""
    edits = []
    for number in range(SESSIONS):
        name, members = f"session:{number:04}", {"type": "session", "notes": "ü" * (number % 50)}
        edits.append(replicated(name, "2-b", "1-a", n=number, **members))
        if number < IN_CONFLICT:
            edits.append(replicated(name, "2-c", "1-a", n=-number, **members))
    for number in range(CONSENTS):
        data = base64.b64encode(os.urandom(200 + 37 * number)).decode()
        signature = {"signature.png": {"content_type": "image/png", "data": data, "revpos": 1}}
        edits.append(replicated(f"consent:{number:04}", "1-a", type="consent", _attachments=signature))
    return edits


def comparable(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Leaves in the order of their revisions."""
    return {doc_id: sorted(each, key=lambda leaf: leaf["_rev"]) for doc_id, each in found.items()}


@pytest.mark.timeout(180)
async def test_a_thousand_documents_pass_a_gateway_before_a_couchdb_that_fails_at_random(
    behind: tuple[Couch, str], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    couch, url = behind
    async with site_of(couch) as (site, db), chaos_before(url, rate=0.25, seed=3) as (chaos, through):
        await db.push(*(replicated(f"item_bank:{n}@1", "1-a", type="item_bank") for n in range(PUBLISHED)))
        app = build_app(
            Settings(
                database_url=database_url,
                redis_url=redis_url,
                data_dir=tmp_path / "data",
                environment="test",
                rate_limit_per_minute=1_000_000,
                auth_rate_limit_per_minute=1_000_000,
                couchdb_url=through,
            )
        )
        async with TestClient(TestServer(app)) as client:
            gateway = Gateway(app, client)
            token = await gateway.enrol(site, "tab-1")
            host, port = gateway.address
            job = {
                "url": f"http://tab-1:{token}@{host}:{port}/db/site-{site}",
                "edits": what_a_tablet_holds(),
                "steps": ["push", "pull", "leaves"],
                "batch_size": 50,
                "attempts": 200,
                "pause": 20,
            }
            tablet = await run_tablet(node(), job)
            receipts = [(each.doc_id, each.rev, each.outcome) for each in gateway.receipts(site)]
        chaos.active = False
        stored = await db.everything()
    assert all(chaos.seen[fate] for fate in SPOILING), chaos.seen
    assert tablet["denied"] == []
    assert comparable(tablet["leaves"]) == comparable(stored)
    assert len(stored) == SESSIONS + CONSENTS + PUBLISHED
    pushed = [
        (doc_id, leaf["_rev"], "received")
        for doc_id, found in stored.items()
        for leaf in found
        if not doc_id.startswith("item_bank:")
    ]
    assert sorted(receipts) == sorted(pushed)


async def test_a_projector_behind_it_ends_with_every_row_once(database_url: str, tmp_path: Path) -> None:
    async with embedded_in(tmp_path / "store", allow_everything) as store:
        (await store.put("/site-lima", {})).ok(201)
        traffic = Traffic("lima", store.base.removesuffix("/db"), {}, seed=11)
        with connect(database_url) as connection:
            await _project_through(store, traffic, database_url, connection)


async def _project_through(
    store: Couch, traffic: Traffic, database_url: str, connection: psycopg.Connection
) -> None:
    async with chaos_before(store.base, rate=0.3) as (chaos, through), aiohttp.ClientSession() as http:
        feed = CouchFeed(CouchClient(http, through))
        while not all(chaos.seen[fate] for fate in SPOILING):
            for _ in range(15):
                await traffic.step(store.session)
            await project(feed, database_url)
        chaos.active = False
        await project(feed, database_url)
        assert leaves(connection) == {doc_id: set(revs) for doc_id, revs in traffic.leaves.items()}
        assert await prove(feed, connection) == {}

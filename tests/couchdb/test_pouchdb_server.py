"""The gateway before a second, independent server of the CouchDB API."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from reporting.engine import connect
from sync_server.app import build_app
from sync_server.feed import CouchFeed
from sync_server.settings import Settings
from tests.contract.couch import replicated
from tests.couchdb.pouchdb_server import pouchdb_server
from tests.couchdb.test_quirks import leaves, project, prove
from tests.documents.examples import a_session
from tests.gateway.gateway import Gateway, session
from tests.interop.pouchdb import node, run_tablet

DATABASE = "site-lima"


@pytest.fixture
def behind() -> Iterator[str]:
    with pouchdb_server() as url:
        yield url


@pytest.fixture
async def gateway(behind: str, database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    """The service before it, with the site lima."""
    app = build_app(
        Settings(
            database_url=database_url,
            redis_url=redis_url,
            data_dir=tmp_path,
            environment="test",
            rate_limit_per_minute=1_000_000,
            auth_rate_limit_per_minute=1_000_000,
            couchdb_url=behind,
        )
    )
    async with TestClient(TestServer(app)) as client:
        running = Gateway(app, client)
        await running.open_site("lima")
        yield running


def rows(answer: Any) -> list[tuple[str, list[str]]]:
    return [(row["id"], [leaf["rev"] for leaf in row["changes"]]) for row in answer["results"]]


async def test_a_tablet_pushes_and_pulls_every_kind_of_leaf(gateway: Gateway) -> None:
    token = await gateway.enrol("lima", "tab-1")
    data = base64.b64encode(bytes(range(256)) * 40).decode()
    picture = {"signature.png": {"content_type": "image/png", "data": data, "revpos": 1}}
    edits = [
        replicated("session:plain", "1-a", type="session"),
        replicated("session:conflict", "2-b", "1-a", type="session", n=1),
        replicated("session:conflict", "2-c", "1-a", type="session", n=2),
        replicated("consent:signed", "1-a", type="consent", _attachments=picture),
        replicated("session:deleted", "2-d", "1-a", _deleted=True),
    ]
    published = [
        replicated("visit:v1", "1-a", type="visit", name="ü"),
        replicated("study:s", "1-a", type="study"),
    ]
    await gateway.push(DATABASE, *published, token=gateway.service)
    host, port = gateway.address
    job = {
        "url": f"http://tab-1:{token}@{host}:{port}/db/{DATABASE}",
        "edits": edits,
        "steps": ["push", "pull", "leaves"],
    }
    tablet = await run_tablet(node(), job)
    assert [each["id"] for each in tablet["denied"]] == ["session:deleted"]
    del tablet["leaves"]["session:deleted"]
    stored = {}
    for doc_id in tablet["leaves"]:
        query = {"open_revs": "all", "revs": "true", "attachments": "true"}
        answer = await gateway.call(
            "GET",
            f"/{DATABASE}/{doc_id}",
            token=gateway.service,
            query=query,
            headers={"Accept": "application/json"},
        )
        stored[doc_id] = sorted((row["ok"] for row in answer.json), key=lambda leaf: leaf["_rev"])
    assert stored == tablet["leaves"]
    received = [(each.doc_id, each.rev) for each in gateway.receipts("lima") if each.outcome == "received"]
    assert sorted(each for each in received if each[0].startswith(("session:", "consent:"))) == [
        ("consent:signed", "1-a"),
        ("session:conflict", "2-b"),
        ("session:conflict", "2-c"),
        ("session:plain", "1-a"),
    ]


async def test_feeds_and_documents_are_what_each_caller_may_see(gateway: Gateway) -> None:
    tablet = await gateway.enrol("lima", "tab-1")
    visits = [replicated(f"visit:v{number}", "1-a", type="visit") for number in range(3)]
    await gateway.push(
        DATABASE, visits[0], session("a"), visits[1], session("b"), visits[2], token=gateway.service
    )

    async def feed(token: str, **query: str) -> Any:
        answer = await gateway.call("GET", f"/{DATABASE}/_changes", token=token, query=query)
        assert answer.status == 200, answer.body
        return answer.json

    everything = await feed(gateway.service, style="all_docs")
    assert len(everything["results"]) == 5
    shown = await feed(tablet, style="all_docs")
    assert rows(shown) == [(f"visit:v{number}", ["1-a"]) for number in range(3)]
    first = await feed(tablet, limit="2")
    assert [row["id"] for row in first["results"]] == ["visit:v0", "visit:v1"]
    assert rows(await feed(tablet, since=str(first["last_seq"]))) == [("visit:v2", ["1-a"])]

    waiting = asyncio.create_task(
        feed(tablet, feed="longpoll", since=str(shown["last_seq"]), timeout="30000")
    )
    await gateway.push(DATABASE, session("c"), token=gateway.service)
    await gateway.push(DATABASE, replicated("visit:v3", "1-a", type="visit"), token=gateway.service)
    assert rows(await waiting) == [("visit:v3", ["1-a"])]
    assert rows(await feed(tablet, feed="longpoll", since=str(shown["last_seq"]))) == [("visit:v3", ["1-a"])]

    wanted = [
        {"id": "visit:v1", "rev": "1-a"},
        {"id": "session:a", "rev": "1-aa"},
        {"id": "visit:v1", "rev": "9-x"},
    ]
    answer = await gateway.call("POST", f"/{DATABASE}/_bulk_get", token=tablet, body={"docs": wanted})
    found = [doc for row in answer.json["results"] for doc in row["docs"]]
    assert [doc["ok"]["_id"] for doc in found if "ok" in doc] == ["visit:v1"]
    assert [doc["error"]["error"] for doc in found if "error" in doc].count("forbidden") == 1
    assert (await gateway.call("GET", f"/{DATABASE}/session:a", token=tablet)).status == 403
    diff = await gateway.call(
        "POST", f"/{DATABASE}/_revs_diff", token=tablet, body={"session:a": ["1-aa", "2-x"]}
    )
    assert diff.json["session:a"]["missing"] == ["2-x"]


async def test_the_projector_follows_it(gateway: Gateway, database_url: str) -> None:
    tablet = await gateway.enrol("lima", "tab-1")
    documents = [replicated(f"session:s{number}", "1-a", **_members(f"s{number}")) for number in range(20)]
    await gateway.push(DATABASE, *documents, token=tablet)
    await gateway.push(DATABASE, replicated("session:s1", "2-b", "1-a", **_members("s1")), token=tablet)
    await gateway.push(DATABASE, replicated("session:s2", "1-b", **_members("s2")), token=tablet)
    async with aiohttp.ClientSession() as http:
        feed = CouchFeed(gateway.store_client(http))
        await project(feed, database_url)
        with connect(database_url) as connection:
            found = leaves(connection)
            assert await prove(feed, connection) == {}
    assert len(found) == 20
    assert (found["session:s1"], found["session:s2"]) == ({"2-b"}, {"1-a", "1-b"})


def _members(name: str) -> dict[str, Any]:
    return {member: value for member, value in a_session(name).items() if member != "_id"}

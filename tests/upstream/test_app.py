"""The whole application on `COUCHDB_URL`: several processes, revoked devices, health, no store of its own."""

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest
from pytest_aiohttp.plugin import AiohttpClient

from replication.upstream import exchange
from replication.upstream.exchange import Upstream
from sync_server.app import build_app
from sync_server.cli.target import target
from sync_server.keys import UPSTREAM
from sync_server.settings import Settings
from tests.contract.couch import Couch
from tests.gateway.conftest import SITE
from tests.gateway.gateway import Gateway, session


async def test_two_processes_on_one_directory_serve_the_same_sites(
    settings: Settings, behind: Couch, lima: str, tablet: str, aiohttp_client: AiohttpClient
) -> None:
    several = msgspec.structs.replace(settings, session_storage_backend="redis")
    app = build_app(several)
    client = await aiohttp_client(app)
    other = Gateway(app, client)
    assert await other.push(lima, session("a"), token=tablet) == []
    assert await other.stored(lima) == ["session:a"]
    assert not (settings.data_dir / "store").exists()
    health = await (await client.get("/api/health/detailed")).json()
    assert health["dependencies"]["couchdb"]["status"] == "ok"
    assert "store" not in health["dependencies"]


async def test_a_revoked_tablets_silent_feed_ends_here_and_there(
    gateway: Gateway, lima: str, tablet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LOOK_SECONDS", 0.02)
    query = {"feed": "longpoll", "since": "now"}
    waiting = asyncio.create_task(gateway.call("GET", f"/{lima}/_changes", token=tablet, query=query))
    upstream = gateway.app[UPSTREAM]
    async with asyncio.timeout(10):
        await until_waits(upstream, 1)
        await gateway.revoke(SITE, "tab-1")
        with pytest.raises(aiohttp.ClientError):
            await waiting
        await until_waits(upstream, 0)


async def until_waits(upstream: Upstream, number: int) -> None:
    while upstream.waits != number:  # noqa: ASYNC110 (nobody tells of it)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("given", "feed_url", "base_url"),
    [
        ({"COUCHDB_URL": "http://u:p@couch:5984"}, "http://u:p@couch:5984", "http://127.0.0.1:8000"),
        ({}, "http://127.0.0.1:8000/db", "http://127.0.0.1:8000"),
        ({"STORE_URL": "http://other:9/db"}, "http://other:9/db", "http://other:9"),
        ({"COUCHDB_URL": "http://c:1", "PORT": "9"}, "http://c:1", "http://127.0.0.1:9"),
        ({"COUCHDB_URL": "http://c:1", "PUBLIC_URL": "https://x"}, "http://c:1", "https://x"),
    ],
)
def test_commands_find_the_service_and_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], feed_url: str, base_url: str
) -> None:
    needed = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "DATA_DIR": str(tmp_path)}
    for name in ("COUCHDB_URL", "STORE_URL", "HOST", "PORT", "PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, text in (needed | given).items():
        monkeypatch.setenv(name, text)
    where = target(None)
    assert (where.feed_url, where.base_url) == (feed_url, base_url)

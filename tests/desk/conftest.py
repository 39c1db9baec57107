"""The service on a port of its own, so that its API reaches its own store; a site; people; a projector."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from sync_server.app import build_app
from sync_server.feed import CouchFeed
from sync_server.settings import Settings
from tests.api.calls import Api
from tests.couchdb.behind import APACHE, expect_deviations, no_sites
from tests.desk.desk import SITE, Desk, add_people
from tests.gateway.gateway import Gateway

__all__ = ["no_sites"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before an Apache CouchDB some tests are something else."""
    expect_deviations(items)


@pytest.fixture
async def desk(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """Site lima with an enrolled tablet, nothing in it yet."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        data_dir=tmp_path,
        environment="test",
        rate_limit_per_minute=1_000_000,
        auth_rate_limit_per_minute=1_000_000,
        host="127.0.0.1",
        port=port,
        couchdb_url=APACHE,
    )
    app = build_app(settings)
    async with TestClient(TestServer(app, port=port)) as client, aiohttp.ClientSession() as http:
        gateway = Gateway(app, client)
        feed = CouchFeed(gateway.store_client(http))
        with psycopg.connect(database_url, autocommit=True) as connection:
            desk = Desk(gateway, Api(client, {}), feed, connection)
            add_people(desk, app)
            await gateway.open_site(SITE)
            desk.tablet = await gateway.enrol(SITE, "tab-1")
            yield desk

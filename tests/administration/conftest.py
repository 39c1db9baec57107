"""The service on a port of its own, with nobody and nothing in it."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from sync_server.app import build_app
from sync_server.feed import CouchFeed
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.administration.served import Served, served
from tests.api.calls import Api
from tests.couchdb.behind import APACHE, expect_deviations, no_sites
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.gateway import Gateway

__all__ = ["no_sites"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before an Apache CouchDB some tests are something else."""
    expect_deviations(items)


@pytest.fixture
def office_settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    return Settings(
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


@pytest.fixture
async def office(office_settings: Settings) -> AsyncIterator[Office]:
    app = build_app(office_settings)
    server = TestServer(app, port=office_settings.port)
    async with TestClient(server) as client, aiohttp.ClientSession() as http:
        gateway = Gateway(app, client)
        feed = CouchFeed(gateway.store_client(http))
        with psycopg.connect(office_settings.database_url, autocommit=True) as connection:
            yield Office(gateway, Api(client, {}), feed, connection)


@pytest.fixture(scope="package")
def service(
    postgres_server: SupervisedSystem, redis_url: str, dropping: Callable[[str], None]
) -> Iterator[Served]:
    """One process for all tests that change nothing in it."""
    with served(postgres_server, redis_url, dropping) as running:
        yield running

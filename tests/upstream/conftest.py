"""The application with a server of the CouchDB API behind it: the embedded store's, or an Apache CouchDB
where `TEST_COUCHDB_URL` names one.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from replication.http.access import allow_everything
from sync_server.app import build_app
from sync_server.settings import Settings
from tests.contract.couch import Couch, apache, embedded_in
from tests.couchdb.behind import expect_deviations
from tests.gateway.conftest import SITE, log_lines
from tests.gateway.gateway import Gateway

APACHE = os.environ.get("TEST_COUCHDB_URL", "")

__all__ = ["log_lines"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before an Apache CouchDB some tests are something else."""
    expect_deviations(items)


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Couch]:
    """The server behind, as its owner asks it."""
    server = apache(APACHE) if APACHE else embedded_in(tmp_path / "behind", allow_everything)
    async with server as running:
        yield running


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path, behind: Couch) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        data_dir=tmp_path,
        couchdb_url=APACHE or behind.base.replace("http://", "http://service:own-secret@"),
        environment="test",
        rate_limit_per_minute=1_000_000,
        auth_rate_limit_per_minute=1_000_000,
    )


@pytest.fixture
async def gateway(settings: Settings, aiohttp_client: AiohttpClient) -> Gateway:
    """The application, serving."""
    app = build_app(settings)
    return Gateway(app, await aiohttp_client(app))


@pytest.fixture
async def lima(gateway: Gateway, behind: Couch) -> AsyncIterator[str]:
    """The database of a site, gone afterwards."""
    await behind.delete(f"/site-{SITE}")
    yield await gateway.open_site(SITE)
    await behind.delete(f"/site-{SITE}")


@pytest.fixture
async def tablet(gateway: Gateway, lima: str) -> str:
    """The token of `tab-1`, a tablet of that site."""
    return await gateway.enrol(SITE, "tab-1")


@pytest.fixture
async def hub(gateway: Gateway, lima: str) -> str:
    """The token of `hub-1`, a hub of that site."""
    return await gateway.enrol(SITE, "hub-1", role="hub")

"""The application on real Postgres and Valkey and an empty store, with `lima` as its site."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pytest_aiohttp.plugin import AiohttpClient
from structlog.testing import capture_logs

from sync_server.app import build_app
from sync_server.keys import KNOWN_CREDENTIALS
from sync_server.settings import Settings
from tests.gateway.gateway import Gateway

SITE = "lima"


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, data_dir=tmp_path, environment="test")


@pytest.fixture
async def gateway(settings: Settings, aiohttp_client: AiohttpClient) -> Gateway:
    """The application, serving; enrolled devices are known."""
    app = build_app(settings)
    client = await aiohttp_client(app)
    if not app[KNOWN_CREDENTIALS].ready:
        await app[KNOWN_CREDENTIALS].next_reading()
    return Gateway(app, client)


@pytest.fixture
async def lima(gateway: Gateway) -> str:
    """The database of a site."""
    return await gateway.open_site(SITE)


@pytest.fixture
async def tablet(gateway: Gateway, lima: str) -> str:
    """The token of `tab-1`, a tablet of that site."""
    return await gateway.enrol(SITE, "tab-1")


@pytest.fixture
async def hub(gateway: Gateway, lima: str) -> str:
    """The token of `hub-1`, a hub of that site."""
    return await gateway.enrol(SITE, "hub-1", role="hub")


@pytest.fixture
def log_lines() -> Iterator[list[structlog.typing.EventDict]]:
    """What is logged meanwhile, with the log context of each line."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines

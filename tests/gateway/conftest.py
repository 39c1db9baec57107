"""The application on real Postgres and Valkey and an empty store, with `lima` as its site."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog
from psycopg import sql
from pytest_aiohttp.plugin import AiohttpClient
from structlog.testing import capture_logs

from sync_server.app import build_app
from sync_server.embedded.postgres import DATABASE, OWNER
from sync_server.settings import Settings
from tests.couchdb.behind import APACHE, expect_deviations, no_sites
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.gateway import Gateway
from tests.gateway.processes import Service

__all__ = ["no_sites"]

SITE = "lima"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before an Apache CouchDB some tests are something else."""
    expect_deviations(items)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        data_dir=tmp_path,
        environment="test",
        rate_limit_per_minute=1_000_000,
        auth_rate_limit_per_minute=1_000_000,
        couchdb_url=APACHE,
    )


@pytest.fixture
async def gateway(settings: Settings, aiohttp_client: AiohttpClient) -> Gateway:
    """The application, serving."""
    app = build_app(settings)
    return Gateway(app, await aiohttp_client(app))


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


@pytest.fixture(scope="package")
def shared_service(
    postgres_server: SupervisedSystem, redis_url: str, dropping: Callable[[str], None]
) -> Iterator[Service]:
    """`serve` on a database of its own, for all tests that use a site of their own."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    made, owner = sql.Identifier(name), sql.Identifier(OWNER)
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(made, sql.Identifier(DATABASE), owner)
    directory = Path(tempfile.mkdtemp(prefix="metricis-tests-"))
    url = urlsplit(postgres_server.database_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as superuser:
        superuser.execute(create)
        try:
            with Service(directory, database_url=url, redis_url=redis_url) as running:
                yield running
        finally:
            dropping(name)
            shutil.rmtree(directory)


@pytest.fixture
def own_site() -> str:
    """A site that no other test knows."""
    return f"s{uuid.uuid4().hex[:12]}"

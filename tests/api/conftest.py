"""The API on real Postgres and Valkey, without the gateway; the store is what a test says it is."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient
from redis.asyncio import Redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting import engine as engines
from sync_server.api.route import mounted
from sync_server.api.routes import API_ROUTES
from sync_server.identity.device_credentials import SigningKey
from sync_server.identity.ended_logins import EndedLogins, MemoryStorage
from sync_server.identity.passwords import hash_password
from sync_server.identity.revocations import KnownCredentials
from sync_server.identity.users import insert_user
from sync_server.keys import (
    ENDED_LOGINS,
    ENGINE,
    KNOWN_CREDENTIALS,
    LEAF_LOOKUP,
    QUESTIONS,
    REDIS,
    SETTINGS,
    STORE_PROBE,
    TRAFFIC,
    VERIFIER,
)
from sync_server.limits.questions import Questions
from sync_server.middleware import install_middleware
from sync_server.settings import Settings
from sync_server.traffic import Traffic
from tests.api.calls import EMAIL, KEY, PASSWORD, Api, person_headers
from tests.api.tree_store import TreeStore

ORIGIN = "https://tablet.example.org"


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Made once: each one costs a tenth of a second."""
    return hash_password(PASSWORD)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """For putting rows in place."""
    engine = engines.sync_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
async def async_engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engines.async_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def store() -> TreeStore:
    """An empty store."""
    return TreeStore()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        data_dir=tmp_path,
        environment="test",
        allowed_origins=(ORIGIN,),
    )


@pytest.fixture
async def app(
    settings: Settings, async_engine: AsyncEngine, store: TreeStore
) -> AsyncIterator[web.Application]:
    """API and middleware, without the gateway."""
    app = web.Application()
    app[SETTINGS] = settings
    app[ENGINE] = async_engine
    app[QUESTIONS] = Questions()
    app[VERIFIER] = KEY.verifier
    app[LEAF_LOOKUP] = app[STORE_PROBE] = store
    install_middleware(app)
    app[TRAFFIC] = Traffic()
    app[TRAFFIC].install(app)
    app.add_routes(mounted(API_ROUTES))
    redis = app[REDIS] = Redis.from_url(settings.redis_url)
    ended_logins = EndedLogins(async_engine, MemoryStorage(60))
    async with KnownCredentials(async_engine) as known, ended_logins:
        app[ENDED_LOGINS] = ended_logins
        app[KNOWN_CREDENTIALS] = known
        await known.next_reading()
        yield app
    await redis.aclose()


@pytest.fixture
async def api(app: web.Application, aiohttp_client: AiohttpClient, engine: Engine, password_hash: str) -> Api:
    """A client that calls as the researcher `EMAIL` unless told otherwise."""
    with engine.begin() as connection:
        person = connection.execute(insert_user(EMAIL, password_hash, "researcher")).scalar_one()
    return Api(await aiohttp_client(app), person_headers(person, app[SETTINGS], now=datetime.now(UTC)))


@pytest.fixture(scope="session")
def other_key() -> SigningKey:
    """Another server's."""
    return SigningKey.generate()

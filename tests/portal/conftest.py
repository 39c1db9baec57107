"""The service with the portal, and people with browsers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from sqlalchemy import insert, update

from reporting.engine import sync_engine
from reporting.tables import memberships, users
from sync_server.app import build_app
from sync_server.identity.passwords import hash_password
from sync_server.identity.users import insert_user
from sync_server.keys import SETTINGS
from sync_server.portal.live import PACE
from sync_server.settings import Settings
from tests.embedded.supervised import SupervisedSystem
from tests.own_database import own_database
from tests.portal.browser import PASSWORD, Browser
from tests.portal.world import fill


class Portal:
    """A service, its database, and browsers of people."""

    def __init__(self, app: Any, base: str, database_url: str) -> None:
        self.app = app
        self.base = base
        self.database_url = database_url
        self._browsers: list[Browser] = []

    @property
    def data_dir(self) -> Path:
        """Where the service has its keys."""
        return Path(self.app[SETTINGS].data_dir)

    def browser(self) -> Browser:
        """Somebody who is not signed in."""
        self._browsers.append(Browser(self.base))
        return self._browsers[-1]

    def join(self, email: str, role: Any = "admin", **values: Any) -> int:
        """Somebody with an account and PASSWORD; `study` (and `site`): a member, not everywhere."""
        study, site = values.pop("study", None), values.pop("site", None)
        engine = sync_engine(self.database_url)
        with engine.begin() as connection:
            everywhere = role if study is None else None
            person: int = connection.execute(insert_user(email, _hash(), everywhere)).scalar_one()
            if study is not None:
                member = {"person": person, "study": study, "site": site, "role": role}
                connection.execute(insert(memberships).values(member))
            if values:
                connection.execute(update(users).where(users.c.id == person).values(values))
        engine.dispose()
        return person

    async def signed_in(self, email: str, role: Any = "admin", **values: Any) -> Browser:
        """The browser of somebody new who has signed in."""
        self.join(email, role, **values)
        browser = self.browser()
        shown = await browser.sign_in(email)
        assert shown.status == 200, shown.text
        return browser

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask Postgres, or change it."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        for browser in self._browsers:
            await browser.close()


@asynccontextmanager
async def serving(
    database_url: str, redis_url: str, data_dir: Path, **settings: Any
) -> AsyncIterator[Portal]:
    """The whole application on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    given = {
        "rate_limit_per_minute": 1_000_000,
        "auth_rate_limit_per_minute": 1_000_000,
        "redcap_requests_per_minute": 60_000,
        "environment": "test",
        **settings,
    }
    app = build_app(
        Settings(
            database_url=database_url,
            redis_url=redis_url,
            data_dir=data_dir,
            host="127.0.0.1",
            port=port,
            **given,
        )
    )
    async with TestServer(app, host="127.0.0.1", port=port):
        app[PACE].seconds = 0.05
        portal = Portal(app, f"http://127.0.0.1:{port}", database_url)
        yield portal
        await portal.close()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def portal(
    postgres_server: SupervisedSystem, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Portal]:
    """The world of `world.py`, for all tests: each makes the people that it needs, and changes what no other
    one looks at. Their files say `pytestmark = pytest.mark.asyncio(loop_scope="session")`.
    """
    with own_database(postgres_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
        async with serving(url, redis_url, tmp_path_factory.mktemp("portal")) as running:
            yield running


_HASHES: dict[str, str] = {}


def _hash() -> str:
    if PASSWORD not in _HASHES:
        _HASHES[PASSWORD] = hash_password(PASSWORD)
    return _HASHES[PASSWORD]

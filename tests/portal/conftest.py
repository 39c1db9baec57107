"""The service with the portal, and people with browsers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import insert, update

from reporting.engine import sync_engine
from reporting.tables import memberships, users
from sync_server.app import build_app
from sync_server.identity.passwords import hash_password
from sync_server.identity.users import insert_user
from sync_server.portal.live import PACE
from sync_server.settings import Settings
from tests.portal.browser import EMAIL, PASSWORD, Browser
from tests.portal.world import fill


class Portal:
    """A service, its database, and browsers of people."""

    def __init__(self, app: Any, base: str, database_url: str) -> None:
        self.app = app
        self.base = base
        self.database_url = database_url
        self._browsers: list[Browser] = []

    def browser(self) -> Browser:
        """Somebody who is not signed in."""
        self._browsers.append(Browser(self.base))
        return self._browsers[-1]

    def join(self, email: str = EMAIL, role: Any = "admin", **values: Any) -> int:
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

    async def signed_in(self, email: str = EMAIL, role: Any = "admin", **values: Any) -> Browser:
        """The browser of somebody new who has signed in."""
        self.join(email, role, **values)
        browser = self.browser()
        shown = await browser.sign_in(email)
        assert shown.status == 200, shown.text
        return browser

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask Postgres, or change it."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters)
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


@pytest.fixture
async def portal(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Portal]:
    """With nobody in it, and the world of `world.py`."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        fill(connection)
    async with serving(database_url, redis_url, tmp_path) as running:
        yield running


_HASHES: dict[str, str] = {}


def _hash() -> str:
    if PASSWORD not in _HASHES:
        _HASHES[PASSWORD] = hash_password(PASSWORD)
    return _HASHES[PASSWORD]

"""A database and the two kinds of engine on it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting import engine as engines


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """As the command line uses it."""
    engine = engines.sync_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
async def async_engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """As the service uses it."""
    engine = engines.async_engine(database_url)
    yield engine
    await engine.dispose()

"""A hub, and a stand-in for its centre."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from replication.store.registry import Registry
from tests.hub.rig import DATABASE, FakeCentre, RunningHub, fetched_list, running_hub


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    """A hub without a link, which has fetched a list."""
    async with running_hub(tmp_path) as running:
        running.hub.site_list.replace(fetched_list())
        yield running


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[FakeCentre]:
    registry = Registry(tmp_path / "centre")
    await registry.create(DATABASE)
    yield FakeCentre(registry)
    await registry.close()


@pytest.fixture
async def centre_url(centre: FakeCentre) -> AsyncIterator[str]:
    async with TestServer(centre.app()) as server:
        yield str(server.make_url("/")).rstrip("/")

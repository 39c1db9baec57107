"""Stores in fresh directories; afterwards nothing of them may be left running."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from replication.store.database import Database
from replication.store.registry import Registry

# The machine may be busy: how long an example takes says nothing here.
settings.register_profile("replication", deadline=None, max_examples=60)
settings.load_profile("replication")


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fails when a thread that the test started outlives it."""
    before = set(threading.enumerate())
    yield
    # Default executors belong to the event loop, which outlives the test's own fixtures.
    left = {thread.name for thread in threading.enumerate() if thread not in before}
    assert not {name for name in left if name.startswith(("writer", "reader"))}


@pytest.fixture
async def registry(tmp_path: Path, no_thread_left: None) -> AsyncIterator[Registry]:
    """An empty store."""
    registry = Registry(tmp_path / "store")
    yield registry
    await registry.close()


@pytest.fixture
async def database(registry: Registry) -> Database:
    """An empty database."""
    return await registry.create("site")

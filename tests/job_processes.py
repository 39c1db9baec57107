"""`sync-server relay` and `work` as processes, and a Valkey that is empty before and after."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from sync_server.settings import Settings
from tests.gateway.processes import environment

PATIENCE_S = 60.0


@contextmanager
def process(
    command: str, settings: Settings, *arguments: str, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run it on these settings, and `more` of them; leases are short. It ends by SIGTERM, or was killed."""
    env = environment(
        DATABASE_URL=settings.database_url,
        REDIS_URL=settings.redis_url,
        DATA_DIR=str(settings.data_dir),
        ENVIRONMENT="test",
        PORT=str(settings.port),
        OUTBOX_LEASE_SECONDS="2",
        LOG_LEVEL="WARNING",
        **more,
    )
    started = subprocess.Popen([sys.executable, "-m", "sync_server", command, *arguments], env=env)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
        code = started.wait(timeout=PATIENCE_S)
        assert code in (0, -signal.SIGKILL), f"{command} ended with {code}"


def kill(started: subprocess.Popen[bytes]) -> None:
    """`kill -9`."""
    started.kill()
    started.wait(PATIENCE_S)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "not within a minute"
        await asyncio.sleep(0.05)


@pytest.fixture
def valkey(redis_url: str) -> Iterator["redis.Redis"]:
    """Empty before and after."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
        client.flushall()

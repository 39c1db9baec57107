"""A store served by a process of its own, which a test may limit or kill."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

PATIENCE = 60.0


@contextlib.asynccontextmanager
async def served(directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, once it answers on the port; killed afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.replication.child_that_serves",
        str(directory),
        str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while (await process.stdout.readline()).strip() != b"serving":
                assert process.returncode is None
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

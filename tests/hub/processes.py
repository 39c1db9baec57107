"""`sync-server hub` in a process of its own."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.end_to_end.system import free_port
from tests.gateway.processes import environment

PATIENCE_S = 20.0


class HubProcess:
    """A hub on a directory; start it as often as you like. What it logs goes to a file beside it."""

    def __init__(self, data_dir: Path, centre: str, *options: str, scheme: str = "http") -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._scheme = scheme
        self.log_path = data_dir.with_suffix(".log")
        self._arguments = ["--centre", centre, "--data-dir", str(data_dir), *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """How tablets reach it."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    async def start(self, *more: str, site: str = "lima") -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "sync_server", "hub", "--site", site, "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 (milliseconds)
                [*command, *self._arguments, *more], stdout=log, stderr=log, env=environment()
            )
        await self.until(lambda status: True)  # noqa: ARG005

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    async def until(self, done: Callable[[Any], bool]) -> Any:
        """Wait until its status is so; the status."""
        deadline = time.monotonic() + PATIENCE_S
        status: Any = None
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                assert self.process is not None
                assert self.process.poll() is None, self.log_path.read_text()[-3000:]
                try:
                    async with session.get(f"{self.base_url}/status.json", ssl=False) as answer:
                        status = await answer.json()
                        if done(status):
                            return status
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(f"{status}\n{self.log_path.read_text()[-3000:]}")

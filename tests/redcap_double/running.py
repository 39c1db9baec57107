"""The double running: in the loop of a test, in a thread, or in a process of its own.

    async with running(double) as address: ...         # PyCap must be called in a thread then
    with running_in_thread(double) as address: ...     # any client, also other processes
    with DoubleProcess(tmp_path) as process: ...       # survives, or dies, by itself; steered by `order`

PyCap blocks: in a test whose loop serves the double it would wait for itself. The thread is the usual choice.
"""

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from aiohttp import web

from tests.redcap_double.double import Double
from tests.redcap_double.server import CONTROL_PATH, build_app

LOOPBACK = "127.0.0.1"
PATIENCE_S = 20.0
_LOOK_AGAIN_S = 0.002


@dataclass(frozen=True, slots=True)
class Address:
    """Where a double answers."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The API, as clients want it."""
        return f"http://{self.host}:{self.port}/api/"


@contextlib.asynccontextmanager
async def running(
    double: Double, *, host: str = LOOPBACK, port: int = 0, control: bool = False
) -> AsyncIterator[Address]:
    """Serve in this loop; port 0 takes a free one."""
    runner = web.AppRunner(build_app(double, control=control), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield Address(host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def running_in_thread(double: Double, *, control: bool = False) -> Iterator[Address]:
    """Serve in a loop of its own; the double may be looked at and changed from the test meanwhile."""
    started = threading.Event()
    found: list[Address] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running(double, control=control) as address:
            found.append(address)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run, name="redcap-double", daemon=True)
    thread.start()
    started.wait(PATIENCE_S)
    if not found:
        raise RuntimeError("the double did not start")
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Until it holds, as the work of a request whose client has hung up. Raises after `PATIENCE_S`."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited for {what}")
        time.sleep(_LOOK_AGAIN_S)


class DoubleProcess:
    """`python -m tests.redcap_double` with its control route; arguments are those of the command line."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.process: subprocess.Popen[str] | None = None
        self.port = 0
        self.token = ""
        self.arrived: list[Any] = []
        """What it told of the rows that arrived, as objects."""
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The API, as clients want it."""
        return f"http://{LOOPBACK}:{self.port}/api/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it (on the same port where it ran before, with nothing in it) and wait until it listens."""
        command = [
            sys.executable,
            "-m",
            "tests.redcap_double",
            "--json",
            "--control",
            "--port",
            str(self.port),
        ]
        if self.token:
            command += ["--token", self.token]
        self.process = subprocess.Popen(
            [*command, *self._arguments], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first:
            raise RuntimeError("the double did not start")
        told = json.loads(first)
        self.port, self.token = told["port"], told["token"]
        # A pipe that nobody empties would stop the double.
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: TextIO) -> None:
        for line in lines:
            if line.endswith("\n"):
                self.arrived.append(json.loads(line))

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            if self._reader is not None:
                self._reader.join(PATIENCE_S)
            if self.process.stdout is not None:
                self.process.stdout.close()

    def order(self, do: str, **details: Any) -> Any:
        """Steer it (`control.py` lists how). Raises `ValueError` with what was wrong."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE_S)
        try:
            body = json.dumps({"do": do, **details})
            connection.request("POST", CONTROL_PATH, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer

"""The servers that a replication benchmark compares: each a process (or a URL) with an empty directory."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.raw_http import Connection, request_bytes

START_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A running server. `pid` is known where the benchmark started it: its memory can be read."""

    name: str
    base: str
    pid: int | None = None


@contextlib.contextmanager
def this_store(directory: Path) -> Iterator[Server]:
    """This repository's store, as `benchmarks.store_server` serves it."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.store_server", str(directory)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Server("this store", process.stdout.readline().strip(), process.pid)
        finally:
            process.terminate()


@contextlib.contextmanager
def pouchdb_server(program: Path, directory: Path) -> Iterator[Server]:
    """`pouchdb-server` from npm, on LevelDB files in the directory."""
    directory.mkdir(parents=True)
    port = _free_port()
    arguments = ["--port", str(port), "--dir", str(directory), "--no-stdout-logs", "--config", "config.json"]
    with subprocess.Popen(
        [str(program.absolute()), *arguments], cwd=directory, stdout=subprocess.DEVNULL
    ) as process:
        try:
            server = Server("pouchdb-server", f"http://127.0.0.1:{port}", process.pid)
            _wait_for(server)
            yield server
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(server: Server) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            with Connection(server.base) as connection:
                connection.exchange(request_bytes(server.base, "GET", "/"))
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def fresh_servers(*, pouchdb: Path | None, couchdbs: tuple[str, ...]) -> Iterator[list[Server]]:
    """This store first, then the others; each that is started here has an empty directory."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metricis-bench-")))
        servers = [stack.enter_context(this_store(directory / "store"))]
        if pouchdb is not None:
            servers.append(stack.enter_context(pouchdb_server(pouchdb, directory / "pouchdb")))
        servers += [Server(f"couchdb {number}", url.rstrip("/")) for number, url in enumerate(couchdbs, 1)]
        yield servers

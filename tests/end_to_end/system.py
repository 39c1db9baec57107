"""A system started with `sync-server up` in a process of its own, as the tests drive it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from click.testing import CliRunner

from sync_server.cli import main
from sync_server.embedded.errors import NotRunning
from sync_server.embedded.record import SystemRecord, running_system
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.service_credential import service_headers
from tests.couchdb.behind import APACHE

START_SECONDS = 90.0
ADMIN = ("admin@clinic.example", "correct horse battery")


class System:
    """A running `sync-server up`, with these settings beside the tests' own."""

    def __init__(self, data_dir: Path, port: int, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = port
        self.settings = settings
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def record(self) -> SystemRecord:
        """What the system tells other commands."""
        return running_system(self.data_dir)

    def start(self) -> None:
        """Start it and wait until every service answers."""
        limits = {"RATE_LIMIT_PER_MINUTE": "1000000", "AUTH_RATE_LIMIT_PER_MINUTE": "1000000"}
        behind = {"COUCHDB_URL": APACHE} if APACHE else {}
        admin = {"ADMIN_EMAIL": ADMIN[0], "ADMIN_PASSWORD": ADMIN[1]}
        environment = {**os.environ, **limits, **behind, **admin, **self.settings}
        command = [sys.executable, "-m", "sync_server", "up", "--data-dir", str(self.data_dir)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=log, stderr=log, env=environment
            )
        wait_until(self._is_up, START_SECONDS, lambda: self.log_path.read_text()[-4000:])

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_path.read_text()[-4000:]
        try:
            return self.record.base_url is not None
        except NotRunning:
            return False

    def stop(self) -> int:
        """Stop it in order; its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self, child: str) -> None:
        """`kill -9` one of its children."""
        os.kill(self.record.children[child], signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """`kill -9` the supervisor itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run a `sync-server` command against it; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "sync_server", *arguments], capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def enrol(self, site: str, device: str) -> dict[str, str]:
        """Enrol a device; what `devices enrol --json` prints.

        The command runs in a thread of this process (it has an event loop of its own): some sixty tests enrol
        a tablet, and a process's imports take longer than all that the command does.
        """
        arguments = ("--site", site, "--device", device, "--data-dir", str(self.data_dir), "--json")
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(CliRunner().invoke, main, ["devices", "enrol", *arguments]).result()
        assert done.exit_code == 0, done.output
        enrolment: dict[str, str] = json.loads(done.stdout)
        return enrolment

    def service_headers(self) -> Mapping[str, str]:
        """What the system's own processes send to the store: they may do everything."""
        return service_headers(load_or_create_signing_key(self.data_dir), service="test")()

    def connect(self) -> psycopg.Connection:
        """A connection to its Postgres, as the application's role."""
        return psycopg.connect(self.record.database_url, autocommit=True)

    def value(self, query: str, *parameters: Any) -> Any:
        """The first value of a query's only row."""
        with self.connect() as connection:
            row = connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """The structured log lines written so far."""
        for line in self.log_path.read_bytes().splitlines():
            if line.startswith(b"{"):
                yield msgspec.json.decode(line)


def with_login(enrolment: dict[str, str]) -> str:
    """The database URL with the login inside, as PouchDB takes it."""
    return enrolment["url"].replace("://", f"://{enrolment['username']}:{enrolment['password']}@")


def wait_until(done: Callable[[], bool], seconds: float, tell: Callable[[], object] = lambda: "") -> None:
    """Poll `done` until it is true; fail with what `tell` says after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s: {tell()}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(data_dir: Path, **settings: str) -> Iterator[System]:
    """A system on `data_dir` with these settings, stopped at the end, even if it was killed meanwhile."""
    system = System(data_dir, free_port(), **settings)
    try:
        system.start()
        yield system
    finally:
        system.stop()

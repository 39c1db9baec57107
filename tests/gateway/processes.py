"""Commands of `sync-server` in processes of their own, and what they print."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from click.testing import CliRunner

from sync_server.cli import main
from sync_server.enrolment import Enrolment, enrol_device
from sync_server.settings import SETTING_NAMES
from tests.couchdb.behind import APACHE
from tests.end_to_end.system import free_port

PATIENCE_S = 60.0


def environment(**settings: str) -> dict[str, str]:
    """The environment of a command with these settings, and none of the person's who runs the tests."""
    return {name: value for name, value in os.environ.items() if name not in SETTING_NAMES} | settings


def run(*arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> "Ended":
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "sync_server", *arguments],
        env=environment() if env is None else env,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def invoke(*arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> "Ended":
    """Run a command in this process: for those that end soon. Its logging stays as the tests have it."""
    nothing = dict.fromkeys((*SETTING_NAMES, "SYNC_PASSWORD"))
    with (
        mock.patch("sync_server.cli.system.configure_logging"),
        mock.patch("sync_server.cli.services.configure_logging"),
    ):
        done = CliRunner().invoke(main, arguments, env={**nothing, **(env or {})}, input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def failed_with(self, *fragments: str) -> None:
        """Check that it ended with a sentence, and not with a traceback."""
        assert self.code not in (0, None), self.out
        assert "Traceback" not in self.err, self.err
        for fragment in fragments:
            assert fragment in self.err


class Service:
    """`sync-server serve` on a port of its own; it listens once it is entered."""

    def __init__(self, data_dir: Path, *, database_url: str, redis_url: str, **settings: str) -> None:
        self.port = free_port()
        self.data_dir = data_dir
        self.settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "RATE_LIMIT_PER_MINUTE": "1000000",
            "AUTH_RATE_LIMIT_PER_MINUTE": "1000000",
            **({"COUCHDB_URL": APACHE} if APACHE else {}),
            **settings,
        }
        self.lines: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ended = False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def enrol(self, site: str, device: str = "tab-1") -> Enrolment:
        """Enrol a tablet, as `devices enrol` does."""
        return await enrol_device(
            site=site,
            device=device,
            role="tablet",
            feed_url=f"{self.base_url}/db",
            public_base=self.base_url,
            database_url=self.settings["DATABASE_URL"],
            data_dir=self.data_dir,
        )

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sync_server", "serve"],
            env=environment(**self.settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.log_line("serving")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def log_line(self, event: str) -> dict[str, Any]:
        """Wait for a log line with this event."""
        with self._changed:
            while True:
                for line in self.lines:
                    if line.get("event") == event:
                        return line
                assert not self._ended, f"no {event!r} in {self.lines}"
                assert self._changed.wait(PATIENCE_S), f"no {event!r} in time in {self.lines}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            with self._changed:
                self.lines.append(json.loads(text) if text.startswith("{") else {"text": text})
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

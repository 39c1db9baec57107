"""A real supervisor as a process of its own, as tests start, watch, stop and kill it.

It holds a lifeline from the tests: when they are killed, it stops its servers and ends.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from sync_server.embedded.lifeline import LIFELINE_VARIABLE

SERVERS_ONLY = ("-m", "sync_server.embedded", "--unsafe-for-tests")
PATIENCE_S = 60.0


class Family:
    """The processes that descend from `pid` at this moment."""

    def __init__(self, pid: int) -> None:
        self._processes: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        self.names: set[str] = {process.name() for process in self._processes}

    def kill(self) -> None:
        """`kill -9` each that is still there."""
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def assert_ends(self) -> None:
        """Wait until all of them have ended; in a container, orphans may stay on as zombies for ever."""
        deadline = time.monotonic() + PATIENCE_S
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                while process.status() != psutil.STATUS_ZOMBIE:
                    assert time.monotonic() < deadline, f"{process} has not ended"
                    with suppress(psutil.TimeoutExpired):
                        process.wait(0.1)


class SupervisedSystem:
    """`python …program… --data-dir …`, started on entering; it has printed its record by then.

    `database_url`, `owner_url`, `superuser_url` (database `postgres`) and `redis_url` lead to the servers.
    """

    def __init__(self, data_directory: Path, *options: str, program: Sequence[str] = SERVERS_ONLY) -> None:
        self.data_directory = data_directory
        self._command = [sys.executable, *program, "--data-dir", str(data_directory), *options]
        self._lines: list[dict[str, Any]] = []
        self._text: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.record: dict[str, Any] = {}

    def launch(self) -> None:
        """Start the process without waiting for anything."""
        hear, self._hold = os.pipe()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(hear,),
            env={**os.environ, LIFELINE_VARIABLE: str(hear)},
            text=True,
        )
        os.close(hear)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def start(self) -> Self:
        """Start the process; returns when the system is ready, or fails with its log."""
        self.launch()
        assert self.process.stdout is not None
        announcement = self.process.stdout.readline()
        if not announcement:
            code = self.wait()
            raise AssertionError(f"exit code {code}\n{self.log_text}")
        self.record = json.loads(announcement)
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def database_url(self) -> str:
        return str(self.record["database_url"])

    @property
    def owner_url(self) -> str:
        return str(self.record["owner_url"])

    @property
    def superuser_url(self) -> str:
        return str(self.record["superuser_url"])

    @property
    def redis_url(self) -> str:
        return str(self.record["redis_url"])

    @property
    def log_text(self) -> str:
        """Everything that the process wrote to standard error so far."""
        return "".join(self._text)

    def pid(self, child: str) -> int:
        """The process id of the child `child` now."""
        record = json.loads((self.data_directory / "system.json").read_bytes())
        return int(record["children"][child])

    def log_line(self, event: str, *, after: int = 0, **members: object) -> dict[str, Any]:
        """Wait for a log line with this event and these members, beyond the first `after` lines."""
        with self._changed:
            while True:
                for line in self._lines[after:]:
                    if {"event": event, **members}.items() <= line.items():
                        return line
                assert not self._ended, f"no {event} in\n{self.log_text}"
                assert self._changed.wait(PATIENCE_S), f"no {event} in time in\n{self.log_text}"

    def log_length(self) -> int:
        """How many log lines there are by now; see `log_line`."""
        with self._changed:
            return len(self._lines)

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines with this event so far."""
        with self._changed:
            return [line for line in self._lines if line.get("event") == event]

    def kill_child(self, child: str) -> None:
        """`kill -9` the child and return once it is ready again."""
        before = self.log_length()
        os.kill(self.pid(child), signal.SIGKILL)
        self.log_line("child_ready", after=before, child=child)

    def kill(self) -> None:
        """`kill -9` the supervisor."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """SIGTERM where it still runs; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the process and release what the tests hold of it; returns the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
        return code

    def family(self) -> "Family":
        """Every process below the supervisor now, the servers' workers included."""
        return Family(self.process.pid)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            with self._changed:
                self._text.append(text)
                if text.startswith("{"):
                    self._lines.append(json.loads(text))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

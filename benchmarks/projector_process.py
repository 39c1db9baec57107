"""A real projector (`sync-server project`) on a store and a Postgres, watched from outside."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg

PATIENCE_S = 1200.0
_AT_END = "SELECT count(*), count(*) FILTER (WHERE NOT rereading AND batch > 0) FROM checkpoints"


class Drained(NamedTuple):
    """A stored feed projected to its end."""

    seconds: float
    """From the first sign of a checkpoint to the commit after which every site is at its feed's end."""
    processor_seconds: dict[str, float]
    """By process: projector, store."""
    peak_mib: float
    """Of the projector (its peak resident memory)."""


@contextmanager
def projector(store: str, database_url: str, redis_url: str, data: Path) -> Iterator[psutil.Process]:
    """The process, ended on leaving."""
    environment = {
        **os.environ,
        "STORE_URL": store,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(data),
    }
    command = [sys.executable, "-m", "sync_server", "project"]
    with (
        (data / "projector.log").open("ab") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as run,
    ):
        try:
            yield psutil.Process(run.pid)
        finally:
            run.terminate()


def drain(
    store: str, store_pid: int, database_url: str, redis_url: str, data: Path, *, sites: int
) -> Drained:
    """Start a projector on empty tables and wait until it has read `sites` sites to their ends."""
    stored = psutil.Process(store_pid)
    before = sum(stored.cpu_times()[:2])
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        projector(store, database_url, redis_url, data) as process,
    ):
        started = _wait(process, connection, lambda known, _: known > 0)
        ended = _wait(process, connection, lambda _, at_end: at_end >= sites)
        spent = {
            "projector": sum(process.cpu_times()[:2]),
            "store": sum(stored.cpu_times()[:2]) - before,
        }
        return Drained(ended - started, spent, _peak_mib(process.pid))


def _wait(process: psutil.Process, connection: psycopg.Connection, done: Callable[[int, int], bool]) -> float:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        row = connection.execute(_AT_END).fetchone()
        assert row is not None
        if done(*row):
            return time.monotonic()
        assert process.status() != psutil.STATUS_ZOMBIE, "the projector has ended"
        time.sleep(0.02)
    raise AssertionError("the projector has not come to the feed's end")


def _peak_mib(pid: int) -> float:
    """The most resident memory the process ever had, its share of libraries included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM: this benchmark needs Linux")

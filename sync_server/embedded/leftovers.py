"""End what a killed supervisor left behind, before anything is started on the same data directory.

| what was killed | what may still run | what would go wrong |
|---|---|---|
| the supervisor | Postgres or Valkey, shutting down | the new server finds the old one's lock and gives up |
| the supervisor | a service that finishes its work | two services on one port or one store |
| the postmaster alone | a backend in a long query | Postgres refuses: its shared memory is still in use |

The caller holds the data directory's lock, so whatever still serves that directory is an orphan. Servers are
recognised by their name and by their working directory, services by a variable in their environment: both
hold for the whole family, whoever is its parent by now, and neither mistakes a process that was given an old
process id. Without `/proc` (not Linux) nothing is found, and the servers' own locks have the last word.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from sync_server.embedded.errors import EmbeddedError

SUPERVISED_VARIABLE = "METRICIS_SUPERVISED"

StopSteps = tuple[tuple[signal.Signals, float], ...]
"""Signals in the order in which they are sent, each with the seconds that it is given to work."""

_PROC = Path("/proc")
_POLL_S = 0.05
_KILL_GRACE_S = 10.0

log = structlog.get_logger()


def servers_in(directory: Path, program: str) -> list[int]:
    """Process ids of the `program` (its name, at most 15 characters) working in `directory`."""
    try:
        wanted = directory.stat()
    except FileNotFoundError:
        return []

    def works_there(process: Path) -> bool:
        return (process / "comm").read_text().strip() == program and os.path.samestat(
            (process / "cwd").stat(), wanted
        )

    return _processes(works_there)


def services_of(data_directory: Path) -> list[int]:
    """Process ids of the services, and their descendants, that a supervisor of `data_directory` started."""
    mark = f"{SUPERVISED_VARIABLE}={data_directory}".encode()
    return _processes(lambda process: mark in (process / "environ").read_bytes().split(b"\0"))


def _processes(matches: Callable[[Path], bool]) -> list[int]:
    found = []
    for process in _PROC.iterdir() if _PROC.is_dir() else ():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if matches(process):
                    found.append(int(process.name))
            except OSError:
                continue  # gone in the meantime, a zombie, or another user's: none of ours
    return found


async def end_leftovers(what: str, find: Callable[[], Sequence[int]], steps: StopSteps) -> None:
    """Send what `find` finds the signals of `steps`, then SIGKILL, until it finds nothing.

    Raises EmbeddedError when a process is still there after that.
    """
    for stop_signal, patience_s in (*steps, (signal.SIGKILL, _KILL_GRACE_S)):
        pids = find()
        if not pids:
            return
        log.info("leftover_stopping", what=what, pids=pids, signal=stop_signal.name)
        for pid in pids:
            _send(pid, stop_signal)
        for _ in range(int(patience_s / _POLL_S)):
            if not find():
                return
            await asyncio.sleep(_POLL_S)
    if pids := find():
        raise EmbeddedError(f"An earlier {what} (pid {pids[0]}) does not end. End it, then start again.")


def _send(pid: int, stop_signal: signal.Signals) -> None:
    try:
        os.kill(pid, stop_signal)
    except ProcessLookupError:
        return


def remove_stale_locks(cluster: Path, socket_directory: Path) -> None:
    """Remove a dead postmaster's lock files where its process id looks alive.

    Postgres replaces the lock files of a dead postmaster by itself, but takes any process of its own account
    with the same id for that postmaster: after a reboot, above all in a container, ids repeat; and a killed
    postmaster has its id until somebody collects its exit code. Call it when `servers_in` found nothing: then
    no backend uses the shared memory that `postmaster.pid` names either.
    """
    for lock in (cluster / "postmaster.pid", *socket_directory.glob(".s.PGSQL.*.lock")):
        try:
            first_line = lock.read_text().split("\n", 1)[0]
        except FileNotFoundError:
            continue
        if _PROC.is_dir() and first_line.isdigit() and (_PROC / first_line).exists():
            log.warning("stale_lock_removed", file=str(lock), pid=int(first_line))
            lock.unlink(missing_ok=True)

"""The files of one test run: in one directory, in memory where the machine has room.

A test's database is some 300 files. On a usual file system making and removing them costs more than the test
itself, in memory a tenth of that. Nothing that is tested depends on the difference: processes are killed and
machines are not, and what a power cut leaves is computed from recorded writes.

Tests start some hundred Python processes. Where `PYTHONDONTWRITEBYTECODE` is set, each of them would compile
all modules of the checkout anew, a quarter of its start: for them the variable is taken away.

| when | then |
|---|---|
| `TMPDIR` is set | the directory is made there |
| no `/dev/shm`, or too little room in it or in memory | the directory is made in the usual place |
| a run was killed | its directory is removed by the next run |
| tests failed | their files stay until the next run |
"""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

IN_MEMORY = Path("/dev/shm")  # noqa: S108 (a directory of our own is made in it)
# Two processes keep below 2 GB, and so three below 3.
ROOM_BYTES = 3 * 1024**3
MEMORY_BYTES = 6 * 1024**3

# Short: the path of a Unix socket has at most 107 bytes.
_PREFIX = "mt-"


def make_run_directory() -> Path:
    """Make this run's directory; this process and those that it starts put their temporary files there."""
    usual = Path(tempfile.gettempdir())
    parent = IN_MEMORY if "TMPDIR" not in os.environ and _has_room(IN_MEMORY) else usual
    for place in {usual, IN_MEMORY}:
        _remove_leftovers(place)
    directory = parent / f"{_PREFIX}{os.getpid()}"
    # The servers' own account passes through it.
    directory.mkdir(mode=0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory)
    return directory


def let_children_keep_bytecode() -> None:
    """Processes that are started from now on use what one of them has compiled."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _has_room(parent: Path) -> bool:
    return (
        parent.is_dir()
        and os.access(parent, os.W_OK | os.X_OK)
        and shutil.disk_usage(parent).free >= ROOM_BYTES
        and psutil.virtual_memory().available >= MEMORY_BYTES
    )


def _remove_leftovers(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        pid = directory.name.removeprefix(_PREFIX)
        if pid.isdecimal() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(directory, ignore_errors=True)

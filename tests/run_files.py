"""Temporary files of a test run in memory, where the machine has room for them.

A test's database is some 300 files. On a usual file system making and removing them costs more than the test
itself, in memory a tenth of that. Nothing that is tested depends on the difference: processes are killed and
machines are not, and what a power cut leaves is computed from recorded writes.

| when | then |
|---|---|
| `TMPDIR` is set | it is used, as everywhere |
| no `/dev/shm`, or too little room in it or in memory | the usual temporary directory is used |
| a run was killed | its files are removed by the next run |
| tests failed | their files stay until the next run |
"""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

IN_MEMORY = Path("/dev/shm")  # noqa: S108 (a directory of our own is made in it)
# A run with two processes keeps below 1 GB; CI's machines run little else meanwhile.
ROOM_BYTES = 3 * 1024**3
MEMORY_BYTES = 6 * 1024**3

# Short: the path of a Unix socket has at most 107 bytes.
_PREFIX = "mt-"


def place_temporary_files(parent: Path = IN_MEMORY) -> Path | None:
    """Let this process and those that it starts put temporary files in memory; the directory, None if not."""
    if "TMPDIR" in os.environ or not _has_room(parent):
        return None
    _remove_leftovers(parent)
    directory = parent / f"{_PREFIX}{os.getpid()}"
    # The servers' own account passes through it.
    directory.mkdir(mode=0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory)
    return directory


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

"""The servers' own log files: bounded, and quoted when a start fails.

A server writes to its file directly, not through a pipe: a busy supervisor must never block Postgres. The
file is opened for appending, so cutting it off while the server writes loses a line at most.
"""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

LARGEST_BYTES = 16 * 1024 * 1024
TAIL_LINES = 15


def open_log(path: Path) -> BinaryIO:
    """The file as a child's standard output; created with permissions for its owner only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def shorten(path: Path, largest_bytes: int = LARGEST_BYTES) -> None:
    """Move the content to `<name>.1` once it is over `largest_bytes`; the file before that is given up."""
    if path.exists() and path.stat().st_size > largest_bytes:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)


def size(path: Path) -> int:
    """Bytes so far; 0 where there is no file."""
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, since: int = 0) -> str:
    """The last lines written after byte `since`, for an error message."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(since, size(path) - 64 * 1024))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-TAIL_LINES:])

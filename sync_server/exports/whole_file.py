"""A file appears under its name when it is whole.

It is written in a folder `.<name>.part` beside its place, flushed to the disk and renamed. Only one process
at a time writes one name; the caller's job sees to it.

| when | what is there |
|---|---|
| the writer fails | nothing; what stood under the name before still stands |
| the process is killed, the power goes | the folder `.<name>.part`, removed next time or by `sweep` |
| the disk is full | OSError, nothing |
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sync_server.embedded.atomic_file import sync_directory

_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """A whole file: its name, rows, bytes, SHA-256 in hex, and sentences on what it could not keep."""

    name: str
    rows: int
    size: int
    sha256: str
    notes: tuple[str, ...] = field(default=())


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Where to write what is to be `target`; other files in that folder are thrown away. Raises OSError."""
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    try:
        inside = beside / target.name
        yield inside
        with inside.open("rb") as file:
            os.fsync(file.fileno())
        inside.replace(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def described_file(path: Path, rows: int, notes: tuple[str, ...] = ()) -> Written:
    """What is to be said of the whole file `path`. Raises OSError."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            hashed.update(part)
    return Written(path.name, rows, path.stat().st_size, hashed.hexdigest(), notes)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in `folder`; nobody may be writing in it."""
    for beside in folder.glob(".*.part"):
        shutil.rmtree(beside, ignore_errors=True)

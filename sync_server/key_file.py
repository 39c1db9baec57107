"""Files that hold a key: made by whoever needs it first, never read half, never readable by others.

Several processes may start at once on an empty data directory. Whichever comes second must end up with the
first one's key: each writes a key of its own to a temporary file and links it to the final name, which
succeeds for exactly one of them. No other key replaces a lost one, so it is on disk before it is used.
"""

import os
import stat
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sync_server.embedded.atomic_file import sync_directory


class ReadableByOthers(Exception):
    """The key's file can be read by others."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(f"{path} can be read by others (mode {mode:04o}): chmod 600 it.")


def load_or_create_key(path: Path, make: Callable[[], bytes]) -> bytes:
    """What is in the file; what `make` gives, mode 0600, when there is none.

    Raises ReadableByOthers, and OSError when the directory cannot be written.
    """
    try:
        return _load(path)
    except FileNotFoundError:
        _create(path, make())
        return _load(path)


def _load(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read()
    if mode & 0o077:
        raise ReadableByOthers(path, mode)
    return content


def _create(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    sync_directory(path.parent)

"""The folder of finished files: each under its content key, put there whole.

    <content key>.zip           finished
    .making/<id>-<attempt>/     what an attempt is writing

Everything is 0600 in folders of 0700: a file may hold what de-identification takes away.

| when | what is there |
|---|---|
| an attempt fails, is cancelled | nothing of it |
| its process is killed, the power goes | its folder in `.making`, until a sweep finds that nobody is at it |
| the disk is full | OSError, nothing under a key |
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sync_server.embedded.atomic_file import sync_directory

_AT_ONCE: Final = 1 << 20
_KEYED: Final = re.compile(r"([0-9a-f]{64})(\.[a-z0-9]+)?")
_ATTEMPT: Final = re.compile(r"([0-9]+)-([0-9]+)")
_MAKING: Final = ".making"


def place_of(folder: Path, key: str, name: str) -> Path:
    """Where the file of this key lies; `name` as people download it, for its suffix."""
    return folder / f"{key}{Path(name).suffix}"


@contextmanager
def attempt_folder(folder: Path, number: int, attempt: int) -> Iterator[Path]:
    """An empty folder for an attempt, taken away at the end. Raises OSError."""
    inside = folder / _MAKING / f"{number}-{attempt}"
    shutil.rmtree(inside, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    inside.parent.mkdir(mode=0o700, exist_ok=True)
    inside.mkdir(mode=0o700)
    try:
        yield inside
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def digest(path: Path) -> tuple[int, str]:
    """Bytes, and SHA-256 in hex. Raises OSError."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            hashed.update(part)
            size += len(part)
    return size, hashed.hexdigest()


def put(made: Path, place: Path) -> None:
    """Make it durable, and let it appear at its place. Raises OSError."""
    made.chmod(0o600)
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(place)
    sync_directory(place.parent)


def keyed_files(folder: Path) -> dict[str, list[Path]]:
    """The finished files by key."""
    found: dict[str, list[Path]] = {}
    if folder.is_dir():
        for path in folder.iterdir():
            if named := _KEYED.fullmatch(path.name):
                found.setdefault(named[1], []).append(path)
    return found


def attempts(folder: Path) -> list[tuple[int, int, Path]]:
    """What attempts have written and not taken away: id, attempt, folder."""
    making = folder / _MAKING
    if not making.is_dir():
        return []
    named = [(_ATTEMPT.fullmatch(path.name), path) for path in making.iterdir()]
    return [(int(match[1]), int(match[2]), path) for match, path in named if match]

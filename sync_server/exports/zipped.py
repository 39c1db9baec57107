"""Zip files that are the same bytes for the same content: fixed times, permissions and compression."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The first time a zip file can say."""

_AT_ONCE: Final = 1 << 20
_PACKED: Final = frozenset((".gz", ".parquet", ".xlsx", ".zip"))
"""Compressed already."""


@contextmanager
def zip_of(path: Path) -> Iterator[zipfile.ZipFile]:
    """A new zip file at `path`; its members are written one after another with `member`."""
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        yield archive


@contextmanager
def member(
    archive: zipfile.ZipFile, name: str, *, packed: bool = False, level: int | None = None
) -> Iterator[IO[bytes]]:
    """A file of unknown length within the archive; `packed`: it is compressed already. `level`: zlib's."""
    info = zipfile.ZipInfo(name, EARLIEST)
    # Python has no other way to say it for a member that is written as a stream.
    info._compresslevel = level  # type: ignore[attr-defined]
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    with archive.open(info, "w", force_zip64=True) as file:
        yield file


def move_into(archive: zipfile.ZipFile, path: Path) -> None:
    """Move a file into the archive, under its name."""
    packed = path.suffix in _PACKED
    with member(archive, path.name, packed=packed) as file, path.open("rb") as content:
        while piece := content.read(_AT_ONCE):
            file.write(piece)
    path.unlink()

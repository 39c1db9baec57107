"""CSV as Postgres writes it, streamed from COPY into the archive: no value passes through Python.

A row is formatted once, by the server; here pieces of a quarter of a megabyte are hashed and compressed while
the next ones are read. What values look like: `reporting.research.exporting`. Lines end with `\\n`.
"""

import contextlib
import hashlib
import zipfile
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Final

import psycopg

from sync_server.exports.ahead import ahead
from sync_server.exports.whole_file import Written
from sync_server.exports.zipped import member

PIECE: Final = 1 << 18
"""Bytes that are handed on at once."""
LEVEL: Final = 1
"""Of zlib: half the work of the usual 6, for files a fifth larger; the core is Postgres's."""


def write_copied(
    connection: psycopg.Connection[Any],
    copy: tuple[str, Mapping[str, Any]],
    archive: zipfile.ZipFile,
    name: str,
    tell: Callable[[int], None],
) -> Written:
    """Write the member `name` from a COPY and its parameters. `tell` is told of about how many rows there
    are, and may raise.

    Raises what Postgres raises, and OSError.
    """
    counted = [0]

    def pieces() -> Generator[bytes, None, None]:
        with connection.cursor() as cursor:
            with cursor.copy(copy[0].encode(), copy[1]) as stream:
                rows: list[bytes] = []
                size = 0
                for row in stream:
                    rows.append(bytes(row))
                    size += len(row)
                    if size >= PIECE:
                        yield b"".join(rows)
                        rows.clear()
                        size = 0
                yield b"".join(rows)
            counted[0] = cursor.rowcount

    hashed = hashlib.sha256()
    size = lines = 0
    reading = ahead(pieces(), idle=lambda: tell(lines), interrupt=partial(_cancel, connection))
    with member(archive, name, level=LEVEL) as file, reading as read:
        for piece in read:
            hashed.update(piece)
            size += len(piece)
            # A text may hold line breaks: for the eye only.
            lines += piece.count(b"\n")
            file.write(piece)
            tell(lines)
    return Written(name, counted[0], size, hashed.hexdigest())


def _cancel(connection: psycopg.Connection[Any]) -> None:
    # Where Postgres is away there is nothing to cancel.
    with contextlib.suppress(psycopg.Error):
        connection.cancel_safe(timeout=5)

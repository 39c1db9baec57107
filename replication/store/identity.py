"""The server's uuid: clients put it into the names of their checkpoints.

It belongs to the store's directory. Lost or made anew it costs every client one comparison of revisions from
the start; two stores that share one would make a client skip what it never sent. So it is written once,
whole and on disk, before it is told to anybody.
"""

import os
from collections.abc import Callable
from pathlib import Path

from replication.errors import StorageFailed

FILE = "server.uuid"


def server_uuid(directory: Path, new_uuid: Callable[[], str]) -> str:
    """The uuid of the store in `directory`, made at the first call. Raises StorageFailed."""
    path = directory / FILE
    try:
        if path.exists():
            return path.read_text().strip()
        made = new_uuid()
        blank = path.with_suffix(".new")
        with blank.open("w") as file:
            file.write(made + "\n")
            file.flush()
            os.fsync(file.fileno())
        blank.rename(path)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageFailed(f"the server's uuid cannot be kept: {error}") from error
    return made

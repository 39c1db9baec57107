"""Files that no row needs any more are taken away; rows whose file is gone are told so.

Done by whoever works on the queue `reports`: it has the folder.

| what | taken away |
|---|---|
| a file under a key that no row needs, and that nobody is making | yes |
| the folder of an attempt that is not running | yes |
| another file that somebody has put there | no |
| a row is `done`, its file is not there | the row becomes `removed` |
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from reporting.research import files
from sync_server.research_files.folder import attempts, keyed_files


class Swept(NamedTuple):
    """How many files and leftovers went, and how many rows have lost their file."""

    files: int
    leftovers: int
    lost: int


def sweep(engine: Engine, folder: Path) -> Swept:
    """Do it once. Raises OSError where something cannot be deleted."""
    with engine.connect() as connection:
        done = set(connection.scalars(files.select_done_keys()))
    # After the rows: a file that comes meanwhile belongs to no row that was looked at.
    found = keyed_files(folder)
    lost = sum(_tell_lost(engine, folder, key) for key in sorted(done - found.keys()))
    gone = sum(_sweep_key(engine, key, found[key]) for key in sorted(found))
    leftovers = 0
    for number, attempt, path in attempts(folder):
        with engine.connect() as connection:
            if not connection.scalar(files.is_running(number, attempt)):
                shutil.rmtree(path, ignore_errors=True)
                leftovers += 1
    return Swept(gone, leftovers, lost)


def _tell_lost(engine: Engine, folder: Path, key: str) -> int:
    with _locked(engine, key) as connection:
        # Who made it anew since the folder was looked at had the lock.
        if connection is None or any(folder.glob(f"{key}.*")):
            return 0
        return len(connection.execute(files.remove_missing(key)).all())


def _sweep_key(engine: Engine, key: str, paths: list[Path]) -> int:
    with engine.connect() as looking:
        if looking.scalar(files.is_needed(key)):
            return 0
    with _locked(engine, key) as connection:
        # Who wanted it meanwhile had the lock.
        if connection is None or connection.scalar(files.is_needed(key)):
            return 0
        for path in paths:
            path.unlink(missing_ok=True)
    return len(paths)


@contextmanager
def _locked(engine: Engine, key: str) -> Iterator[Connection | None]:
    """A connection that holds the key's lock, each statement by itself; None: somebody else has it."""
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        if not connection.scalar(files.try_lock(key)):
            yield None
            return
        try:
            yield connection
        finally:
            connection.execute(files.unlock(key))

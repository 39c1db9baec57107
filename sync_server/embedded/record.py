"""`system.json`: how other commands find the running system through `--data-dir`.

The file outlives the system, because the port of Postgres is remembered there; whether the system runs is
told by the lock, never by the file.
"""

from pathlib import Path
from typing import Literal

import msgspec

from sync_server.embedded.atomic_file import write_atomically
from sync_server.embedded.data_directory import DataDirectory, is_locked, lock_holder
from sync_server.embedded.errors import DirectoryUnusable, NotRunning


class CouchDB(msgspec.Struct, frozen=True, kw_only=True):
    """An Apache CouchDB that holds the site databases, and how they are made there."""

    url: str
    """With the login of the service's user."""
    q: int | None = None
    n: int | None = None
    validation: bool = True


class SystemRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the system. The URLs hold passwords, hence the file's permissions (0600)."""

    state: Literal["starting", "running", "stopped"]
    pid: int
    """The supervisor's process id."""
    postgres_port: int
    database_url: str
    """Postgres as the application's role, on loopback TCP: what `sync-server dsn` prints."""
    owner_url: str
    """Postgres as the role that owns the schema."""
    redis_url: str
    """Valkey, as `unix://…`."""
    base_url: str | None = None
    """Where the service answers HTTP; None while it is not started."""
    couchdb: CouchDB | None = None
    """None: the embedded store holds the site databases."""
    children: dict[str, int] = {}
    """Process ids of the children that run now, by name."""


def write_record(directory: DataDirectory, record: SystemRecord) -> None:
    """Replace the directory's record."""
    write_atomically(directory.record_file, msgspec.json.format(msgspec.json.encode(record)))


def last_record(directory: DataDirectory) -> SystemRecord | None:
    """What the running or the last system wrote; None when there was none, or the file is damaged."""
    try:
        return msgspec.json.decode(directory.record_file.read_bytes(), type=SystemRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def running_system(path: Path | str) -> SystemRecord:
    """The record of the system running on the data directory `path`. Raises NotRunning, DirectoryUnusable."""
    directory = DataDirectory.at(path)
    try:
        if not is_locked(directory):
            raise NotRunning(directory.root)
        holder = lock_holder(directory)
        record = last_record(directory)
    except PermissionError as error:
        raise DirectoryUnusable(directory.root, "it belongs to another user") from error
    # A system that was killed left a record that says "running": it is not that of the one that starts now.
    if record is None or record.state != "running" or record.pid != holder:
        raise NotRunning(directory.root, starting=True)
    return record

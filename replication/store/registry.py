"""The databases of one directory: created, opened once, listed, deleted.

A database's file is named by the hex of its name, so that any legal name is a legal file name. Creation
writes the schema under a temporary name and renames it: a file with the final name is always a whole
database.
"""

import asyncio
import fcntl
import os
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from replication.errors import DatabaseExists, IllegalDatabaseName, NotFound, StorageFull, Unavailable
from replication.javascript.children import end_idle_children
from replication.store.database import Database, ReaderThreads
from replication.store.identity import server_uuid
from replication.store.signal import Signal
from replication.store.updates import DatabaseUpdates

NAME = re.compile(r"[a-z][a-z0-9_$()+/-]{0,119}|_replicator")
SUFFIX = ".sqlite"

TaskSource = Callable[[], Iterable[Mapping[str, object]]]
"""Tells what somebody runs in the background now, as rows of `_active_tasks`."""


class DirectoryInUse(Exception):
    """Another process serves this store directory: its writer threads must be the only ones."""


class Registry:
    """All databases below a directory. Raises DirectoryInUse: one process has a directory at a time."""

    def __init__(
        self,
        directory: Path,
        *,
        threads: ReaderThreads | None = None,
        new_uuid: Callable[[], str] | None = None,
    ) -> None:
        self._directory = directory
        self._open: dict[str, Database] = {}
        self._lock = asyncio.Lock()
        self._threads = threads or ReaderThreads()
        self.new_uuid = new_uuid or (lambda: uuid.uuid4().hex)
        self._closed = False
        self._uuid: str | None = None
        self.changed = Signal()
        self.task_sources: list[TaskSource] = [self._compactions]
        directory.mkdir(parents=True, exist_ok=True)
        self._directory_lock: int | None = lock_directory(directory)
        for leftover in directory.glob("*.new*"):
            leftover.unlink()
        self.updates = DatabaseUpdates(self.changed, epoch=uuid.uuid4().hex[:12], there=self.names())

    @property
    def closing(self) -> bool:
        """True once `stop_feeds` or `close` was called: feeds answer with what they have."""
        return self._closed

    @property
    def uuid(self) -> str:
        """The server's identity, kept with its files. Raises StorageFailed."""
        if self._uuid is None:
            self._uuid = server_uuid(self._directory, self.new_uuid)
        return self._uuid

    def active_tasks(self) -> list[Mapping[str, object]]:
        """What runs in the background, as rows of `_active_tasks`."""
        return [row for source in self.task_sources for row in source()]

    def _compactions(self) -> Iterable[Mapping[str, object]]:
        for name, database in self._open.items():
            progress = database.compaction.progress
            if progress is not None:
                yield {
                    "type": "database_compaction",
                    "database": name,
                    "phase": progress.phase,
                    "changes_done": progress.done,
                    "total_changes": progress.total,
                    "progress": 100 * progress.done // max(progress.total, 1),
                    "started_on": progress.started_on,
                    "updated_on": progress.updated_on,
                }

    def stop_feeds(self) -> None:
        """Let every waiting feed end now; requests in flight go on."""
        self._closed = True
        for database in self._open.values():
            database.changed.notify()
        self.changed.notify()

    async def close(self) -> None:
        """Finish accepted writes and close every file."""
        self.stop_feeds()
        async with self._lock:
            for database in self._open.values():
                await database.close()
            self._open.clear()
        self._threads.shutdown()
        await asyncio.to_thread(end_idle_children)
        if self._directory_lock is not None:
            os.close(self._directory_lock)
            self._directory_lock = None

    def names(self) -> list[str]:
        """Every database's name, sorted."""
        files = self._directory.glob(f"*{SUFFIX}")
        return sorted(name for name in map(name_of, files) if name is not None)

    async def create(self, name: str) -> Database:
        """A new, empty database. Raises DatabaseExists, IllegalDatabaseName."""
        if not NAME.fullmatch(name):
            raise IllegalDatabaseName(
                f"Name: '{name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters "
                "_, $, (, ), +, -, and / are allowed. Must begin with a letter."
            )
        # A client that goes away in the middle must not leave files half renamed under open connections.
        return await asyncio.shield(self._create(name))

    async def _create(self, name: str) -> Database:
        async with self._lock:
            path = self._path(name)
            if path.exists():
                raise DatabaseExists("The database could not be created, the file already exists.")
            try:
                await self._make(path, name)
                database = self._opened(name)
            except Exception:
                # Of what could not be made nothing stays, or the name would be taken by a file of no use.
                for leftover in (path.with_suffix(".new"), path):
                    leftover.unlink(missing_ok=True)
                    _unlink_side_files(leftover)
                _sync_directory(self._directory)
                raise
            self.updates.note(name, "created")
            return database

    async def _make(self, path: Path, name: str) -> None:
        """A new database's file under its final name, whole and on disk."""
        blank = path.with_suffix(".new")
        first = self._load(blank, name)
        await first.close()
        if side_files(blank)[0].exists():
            # Closing brings the log back into the file, and does not tell when there was no room for that.
            raise StorageFull("the disk is full; the database was not created")
        # A deletion that was cut short may have left them; SQLite would take them for the new file's.
        _unlink_side_files(path)
        blank.rename(path)
        _sync_directory(self._directory)

    async def open(self, name: str) -> Database:
        """The database, opened at its first use. Raises NotFound."""
        database = self._open.get(name)
        if database is not None:
            return database
        async with self._lock:
            if not self._exists(name):
                raise NotFound("Database does not exist.")
            return self._opened(name)

    async def delete(self, name: str) -> None:
        """Remove the database and its files. Raises NotFound."""
        await asyncio.shield(self._delete(name))

    async def _delete(self, name: str) -> None:
        async with self._lock:
            if not self._exists(name):
                raise NotFound("Database does not exist.")
            path = self._path(name)
            database = self._open.pop(name, None)
            if database is not None:
                await database.close()
            path.unlink()
            _unlink_side_files(path)
            _sync_directory(self._directory)
            self.updates.note(name, "deleted")

    def _opened(self, name: str) -> Database:
        if self._closed:
            raise Unavailable("the server is stopping")
        database = self._open.get(name)
        if database is None:
            database = self._open[name] = self._load(self._path(name), name)
        return database

    def _load(self, path: Path, name: str) -> Database:
        def updated() -> None:
            self.updates.note(name, "updated")

        return Database(path, name=name, uuid=self.new_uuid(), threads=self._threads, on_change=updated)

    def _exists(self, name: str) -> bool:
        # An illegal name is asked for too, and may be too long for a file.
        return NAME.fullmatch(name) is not None and self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self._directory / (name.encode().hex() + SUFFIX)


def side_files(path: Path) -> tuple[Path, Path]:
    """Where SQLite keeps the log of a database's file, and the index of the log."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _unlink_side_files(path: Path) -> None:
    for file in side_files(path):
        file.unlink(missing_ok=True)


def name_of(file: Path) -> str | None:
    """The database that a file holds; None for a file that somebody else put there."""
    try:
        name = bytes.fromhex(file.name.removesuffix(SUFFIX)).decode()
    except ValueError:
        return None
    return name if NAME.fullmatch(name) else None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_directory(directory: Path) -> int:
    """The descriptor of the directory's lock, which the kernel drops with the process. Raises
    DirectoryInUse.
    """
    descriptor = os.open(directory / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DirectoryInUse(f"{directory} is served by another process; stop that one first") from error
    return descriptor

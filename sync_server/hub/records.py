"""What a hub keeps beside its store, in one SQLite file: journal, receipts, site list, what was erased.

A job runs on the file's one thread, in a transaction, and is on disk when it returns (`synchronous=FULL`):
what a tablet is told afterwards survives a power cut at any instant.

| what happens | what follows |
|---|---|
| a job raises | its transaction is rolled back, the caller gets the error |
| the caller goes away | the job ends all the same |
| the disk is full, or the file cannot be written | RecordsFailed; nothing is acknowledged |
| the process dies before the commit | as if the job had never begun |
| the file was written by a newer release | RecordsFailed at the start |
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from sync_server.embedded.atomic_file import sync_directory

T = TypeVar("T")

Job = Callable[[sqlite3.Connection], T]

VERSION = 1

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    doc_id TEXT NOT NULL,
    rev TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('received', 'refused')),
    device TEXT NOT NULL,
    role TEXT NOT NULL,
    credential TEXT NOT NULL,
    received_at TEXT NOT NULL,
    reason TEXT,
    shown TEXT,
    original BLOB,
    told INTEGER NOT NULL DEFAULT 0,
    UNIQUE (doc_id, rev, outcome)
);
CREATE INDEX journal_untold ON journal (entry) WHERE told = 0 AND outcome = 'received';
CREATE INDEX journal_refused ON journal (device, entry) WHERE outcome = 'refused';
CREATE TABLE receipts (
    doc_id TEXT NOT NULL,
    rev TEXT NOT NULL,
    state TEXT,
    reason TEXT,
    fetched_at TEXT,
    PRIMARY KEY (doc_id, rev)
) WITHOUT ROWID;
CREATE INDEX receipts_open ON receipts (fetched_at) WHERE state IS NULL OR state <> 'projected';
CREATE TABLE erased (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE tablets (
    device TEXT PRIMARY KEY,
    last_seen TEXT NOT NULL,
    last_push TEXT,
    clock_offset_s REAL
) WITHOUT ROWID;
"""

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA busy_timeout = 10000;
"""


class RecordsFailed(Exception):
    """The hub's records cannot be read or written."""


class Records:
    """The open file. Raises RecordsFailed."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        try:
            self._connection = self._thread.submit(_open, path).result()
        except (sqlite3.Error, OSError) as error:
            self._thread.shutdown()
            raise RecordsFailed(f"{path} cannot be opened: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def do(self, job: Job[T]) -> T:
        """Run the job; what it answers, once its transaction is on disk. Raises RecordsFailed."""
        try:
            return await asyncio.wrap_future(self._thread.submit(self._transact, job))
        except sqlite3.Error as error:
            raise RecordsFailed(f"the hub's records cannot be written: {error}") from error

    async def forget_deleted(self) -> None:
        """Take what was deleted out of the file's log as well. Raises RecordsFailed."""

        def checkpoint() -> None:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        try:
            await asyncio.wrap_future(self._thread.submit(checkpoint))
        except sqlite3.Error as error:
            raise RecordsFailed(f"the hub's records cannot be written: {error}") from error

    async def close(self) -> None:
        """Finish what was begun and close the file."""

        def close() -> None:
            self._connection.close()

        await asyncio.wrap_future(self._thread.submit(close))
        await asyncio.to_thread(self._thread.shutdown)

    def _transact(self, job: Job[T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        return result


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
        # A new file's name has to be on the disk before anything in it is acknowledged.
        sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.executescript(_PRAGMAS)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version != 0:
        raise RecordsFailed(f"{path} was written by another release ({version}; this one has {VERSION})")
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")


def read_meta(connection: sqlite3.Connection, name: str) -> bytes | None:
    """A single value that the hub remembers."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def forget_meta(connection: sqlite3.Connection, name: str) -> None:
    """Remember it no more."""
    connection.execute("DELETE FROM meta WHERE name = ?", (name,))


def write_meta(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Remember a single value."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

"""Connections to one SQLite file: the writer thread with its group commit, and the readers.

A write is acknowledged after its commit is on disk (WAL with `synchronous=FULL`: one fsync a commit). An
fsync costs about as much as storing a hundred small documents, so all writes that arrived while the last
commit was being written share the next one. Each keeps its own savepoint: one that fails takes no other
down.

    what happens                                  what follows
    ------------------------------------------    ----------------------------------------------------
    a job raises                                  its savepoint is rolled back, its caller gets the error
    a caller goes away before its group begins    its job is not run
    a caller goes away later                      its job is committed with the group; nobody is told
    the disk is full, in a job or at commit       the group is rolled back, every caller gets StorageFull
    memory ends, between jobs or at commit        the group is rolled back, every caller gets Unavailable
    the process dies before the commit returned   SQLite drops the group at the next open; nobody was told
    the process dies after it                     the group is there; a caller who was not told asks again
"""

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib import resources
from pathlib import Path
from typing import Any

from replication.errors import CouchError, StorageFailed, StorageFull, Unavailable

SCHEMA_VERSION = 2
_SCRIPTS = ("schema.sql", "schema_2.sql")
"""Each brings the file from the version that is its place to the next."""
GROUP_LIMIT = 64
"""Writes that share one commit at most; bounds how long the first of them waits."""

Job = Callable[[sqlite3.Connection], Any]

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = FAST;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
PRAGMA cache_size = -16000;
PRAGMA busy_timeout = 10000;
"""


class UnknownSchema(StorageFailed):
    """The file was written by a newer version of this program, or by another one."""


def open_writer(path: Path, *, initial: dict[str, str | int]) -> sqlite3.Connection:
    """Open the file for writing; a new one gets the schema and `initial` as its meta rows, in one
    transaction. Raises StorageFailed, UnknownSchema.
    """
    with contextlib.ExitStack() as failing:
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            failing.callback(connection.close)
            _prepare(connection, initial)
        except sqlite3.Error as error:
            raise _translated(error) from error
        failing.pop_all()
        return connection


def _prepare(connection: sqlite3.Connection, initial: dict[str, str | int]) -> None:
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # compaction gives pages back
    connection.executescript(_PRAGMAS)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION or version < 0:
        raise UnknownSchema(f"the file has schema {version}; this program knows {SCHEMA_VERSION}")
    connection.execute("BEGIN IMMEDIATE")
    for script in _SCRIPTS[version:]:
        text = resources.files(__package__).joinpath(script).read_text()
        for statement in text.split(";\n"):
            connection.execute(statement)
    if version == 0:
        connection.executemany("INSERT INTO meta VALUES (?, ?)", initial.items())
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


class Writer:
    """The one thread that writes to a file. `submit` may be called from any thread."""

    def __init__(self, connection: sqlite3.Connection, *, name: str, on_commit: Callable[[], None]) -> None:
        self._connection = connection
        self._on_commit = on_commit
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"writer {name}")
        self._thread.start()

    def submit(self, job: Job) -> Future[Any]:
        """Run `job` in the next group; the future resolves after the commit. Raises Unavailable if closed."""
        future: Future[Any] = Future()
        with self._closing:
            if self._closed:
                raise Unavailable("the database is closed")
            self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, then close the file."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            group = [first]
            last = False
            while len(group) < GROUP_LIMIT and not self._jobs.empty():
                job = self._jobs.get()
                if job is None:
                    last = True
                    break
                group.append(job)
            self._commit(group)
            if last:
                return

    def _commit(self, submitted: list[tuple[Job, Future[Any]]]) -> None:
        # From here on a future cannot be cancelled: whoever waits may go, the outcome is still delivered.
        group = [(job, future) for job, future in submitted if future.set_running_or_notify_cancel()]
        if not group:
            return
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job, future in group:
                outcomes.append((future, *self._attempt(job)))
            self._connection.execute("COMMIT")
        except (sqlite3.Error, MemoryError) as error:
            # A thread that ended here would leave every writer waiting for ever. What cannot be rolled back
            # now lets the next group fail too, which tries again.
            with contextlib.suppress(sqlite3.Error, MemoryError):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            failure = _translated(error)
            failure.__cause__ = error
            for _, future in group:
                future.set_exception(failure)
            return
        # Wake the feeds first: a writer that gets its answer finds its change in every feed.
        self._on_commit()
        for future, result, error_of_job in outcomes:
            if error_of_job is None:
                future.set_result(result)
            else:
                future.set_exception(error_of_job)

    def _attempt(self, job: Job) -> tuple[Any, BaseException | None]:
        self._connection.execute("SAVEPOINT job")
        try:
            result = job(self._connection)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and _of_storage(error):
                raise
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
            return None, error if not isinstance(error, sqlite3.Error) else _translated(error)
        self._connection.execute("RELEASE job")
        return result, None


_FULL = {
    sqlite3.SQLITE_FULL,
    # A quota, or a limit on the size of files, shows as a failed write; the index of the WAL is a file too.
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
}
_OF_STORAGE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOMEM}
_PRIMARY_CODE = 0xFF


def _of_storage(error: sqlite3.Error) -> bool:
    """Whether the file failed, and not one job: SQLite may have rolled the transaction back already."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _OF_STORAGE


def _translated(error: sqlite3.Error | MemoryError) -> CouchError:
    if isinstance(error, MemoryError):  # Python's own for SQLITE_NOMEM
        return Unavailable("there is not enough memory for this at the moment")
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _FULL:
        return StorageFull("the disk is full; nothing of this request was stored")
    if code & _PRIMARY_CODE in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable("the database file is in use by another process")
    return StorageFailed(f"the database file failed: {error}")


class Readers:
    """Read-only connections to one file, each used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._idle: list[sqlite3.Connection] = []
        self._closing = threading.Lock()
        self._closed = False

    def run(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `job` on a connection within one read transaction (one consistent state of the file).

        Raises Unavailable when closed.
        """
        try:
            connection = self._taken()
            try:
                connection.execute("BEGIN")
                return job(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._put_back(connection)
        except sqlite3.Error as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Close the idle connections; one in use is closed when its job ends."""
        with self._closing:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _taken(self) -> sqlite3.Connection:
        with self._closing:
            if self._closed:
                # Opened anew, the path could be another database by now.
                raise Unavailable("the database is closed")
            if self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA cache_size = -4000")
        return connection

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._closing:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

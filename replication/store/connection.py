"""Connections to one SQLite file: the writer thread with its group commit, and the readers.

A write is acknowledged after its commit is on disk (WAL with `synchronous=FULL`: one fsync a commit). An
fsync costs about as much as storing a hundred small documents, so all writes that arrived while the last
commit was being written share the next one. Each keeps its own savepoint: one that fails takes no other
down.

    what happens                                  what follows
    ------------------------------------------    ----------------------------------------------------
    a job raises                                  its savepoint is rolled back, its caller gets the error
    the disk is full, in a job or at commit       the group is rolled back, every caller gets StorageFull
    the process dies before the commit returned   SQLite drops the group at the next open; nobody was told
    the process dies after it                     the group is there; a caller who was not told asks again
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib import resources
from pathlib import Path
from typing import Any

from replication.errors import StorageFull, Unavailable

SCHEMA_VERSION = 1
GROUP_LIMIT = 64
"""Writes that share one commit at most; bounds how long the first of them waits."""

Job = Callable[[sqlite3.Connection], Any]

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
PRAGMA cache_size = -16000;
PRAGMA busy_timeout = 10000;
"""


class UnknownSchema(Exception):
    """The file was written by a newer version of this program, or by another one."""


def open_writer(path: Path, *, initial: dict[str, str | int]) -> sqlite3.Connection:
    """Open the file for writing; a new one gets the schema and `initial` as its meta rows, in one
    transaction.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        connection.execute("PRAGMA page_size = 8192")
    connection.executescript(_PRAGMAS)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        schema = resources.files(__package__).joinpath("schema.sql").read_text()
        connection.execute("BEGIN IMMEDIATE")
        for statement in schema.split(";\n"):
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", initial.items())
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    elif version != SCHEMA_VERSION:
        connection.close()
        raise UnknownSchema(f"{path} has schema {version}; this program knows {SCHEMA_VERSION}")
    return connection


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
        """Run `job` in the next group; the future resolves after the commit. Raises Unavailable when closed.
        """
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

    def _commit(self, group: list[tuple[Job, Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job, future in group:
                outcomes.append((future, *self._attempt(job)))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = _translated(error)
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
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 (handed to the caller, whose job it is)
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
            return None, error
        self._connection.execute("RELEASE job")
        return result, None


def _translated(error: sqlite3.Error) -> Exception:
    if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
        return StorageFull("the disk is full; nothing of this request was stored")
    return error


class Readers:
    """Read-only connections to one file, each used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._closed = False

    def run(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `job` on a connection within one read transaction (one consistent state of the file)."""
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA busy_timeout = 10000")
            connection.execute("PRAGMA cache_size = -4000")
        connection.execute("BEGIN")
        try:
            return job(connection)
        finally:
            connection.execute("COMMIT")
            if self._closed:
                connection.close()
            else:
                self._idle.put(connection)

    def close(self) -> None:
        """Close the idle connections; one in use is closed when its job ends."""
        self._closed = True
        while not self._idle.empty():
            self._idle.get().close()

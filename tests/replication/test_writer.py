"""The writer thread: writes share commits and nothing else."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from replication.errors import CouchError, StorageFailed, Unavailable
from replication.store.connection import GROUP_LIMIT, Readers, Writer, open_writer

Job = Callable[[sqlite3.Connection], Any]


class Bench:
    """A writer whose commits are counted, and which can be held up while jobs are submitted."""

    def __init__(self, path: Path) -> None:
        self.commits = 0
        connection = open_writer(path, initial={"update_seq": 0})
        self.writer = Writer(connection, name="bench", on_commit=self._count)

    def _count(self) -> None:
        self.commits += 1

    def together(self, *jobs: Job) -> list[Future[Any]]:
        """Submit the jobs while the writer is busy, so that they wait for the same commit."""
        busy, go_on = threading.Event(), threading.Event()

        def hold_up(_: sqlite3.Connection) -> None:
            busy.set()
            go_on.wait()

        held = self.writer.submit(hold_up)
        busy.wait()
        futures = [self.writer.submit(job) for job in jobs]
        go_on.set()
        held.result()
        return futures


@pytest.fixture
def bench(tmp_path: Path, no_thread_left: None) -> Iterator[Bench]:
    bench = Bench(tmp_path / "bench.sqlite")
    yield bench
    bench.writer.close()


def put(name: str) -> Job:
    return lambda c: c.execute("INSERT INTO meta VALUES (?, 1)", (name,)).rowcount


KEPT_BY_THE_STORE = {"update_seq", "purge_seq", "purged_infos_limit", "data_size"}


def names(bench: Bench) -> set[str]:
    query = "SELECT name FROM meta"
    stored: set[str] = bench.writer.submit(lambda c: {row[0] for row in c.execute(query)}).result()
    return stored - KEPT_BY_THE_STORE


def test_writes_that_wait_together_share_a_commit(bench: Bench) -> None:
    futures = bench.together(*(put(f"n{i}") for i in range(GROUP_LIMIT)))
    assert [future.result() for future in futures] == [1] * GROUP_LIMIT
    assert bench.commits == 2  # one for the job that held up the writer


def test_a_commit_is_shared_by_so_many_writes_and_no_more(bench: Bench) -> None:
    for future in bench.together(*(put(f"n{i}") for i in range(2 * GROUP_LIMIT + 1))):
        future.result()
    assert bench.commits == 4


def test_a_job_that_fails_takes_no_other_down(bench: Bench) -> None:
    def fail_half_way(c: sqlite3.Connection) -> None:
        put("half")(c)
        raise LookupError("on purpose")

    first, failed, last = bench.together(put("first"), fail_half_way, put("last"))
    assert (first.result(), last.result()) == (1, 1)
    with pytest.raises(LookupError, match="on purpose"):
        failed.result()
    assert names(bench) == {"first", "last"}


def test_a_statement_that_fails_is_its_jobs_own_failure(bench: Bench) -> None:
    first, again, last = bench.together(put("first"), put("first"), put("last"))
    assert (first.result(), last.result()) == (1, 1)
    with pytest.raises(StorageFailed, match="UNIQUE"):
        again.result()
    assert names(bench) == {"first", "last"}


def test_a_number_beyond_the_database_is_its_jobs_own_failure(bench: Bench) -> None:
    (too_large,) = bench.together(lambda c: c.execute("INSERT INTO meta VALUES ('n', ?)", (2**70,)))
    with pytest.raises(OverflowError):
        too_large.result()
    assert names(bench) == set()


class Failing:
    """A connection, some of whose statements fail once each."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.failures: dict[str, Exception] = {}

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str) -> sqlite3.Cursor:
        failure = self.failures.pop(statement, None)
        if failure is not None:
            raise failure
        return self._connection.execute(statement)

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ({"COMMIT": MemoryError()}, Unavailable),
        ({"BEGIN IMMEDIATE": MemoryError()}, Unavailable),
        ({"COMMIT": sqlite3.OperationalError("disk I/O error"), "ROLLBACK": MemoryError()}, StorageFailed),
        (
            {"COMMIT": sqlite3.OperationalError("disk I/O error"), "ROLLBACK": sqlite3.OperationalError("x")},
            StorageFailed,
        ),
    ],
)
def test_a_writer_survives_whatever_fails_around_its_jobs(
    tmp_path: Path, failures: dict[str, Exception], told: type[CouchError]
) -> None:
    connection: Any = Failing(open_writer(tmp_path / "bench.sqlite", initial={}))
    writer = Writer(connection, name="bench", on_commit=lambda: None)
    connection.failures = dict(failures)
    with pytest.raises(told):
        writer.submit(lambda _: None).result(timeout=5)
    if "ROLLBACK" in failures:
        with pytest.raises(StorageFailed):
            writer.submit(lambda _: None).result(timeout=5)
    assert writer.submit(lambda _: "written").result(timeout=5) == "written"
    writer.close()


def test_a_job_that_nobody_waits_for_any_more_is_not_run(bench: Bench) -> None:
    ran = threading.Event()
    busy, go_on = threading.Event(), threading.Event()

    def hold_up(_: sqlite3.Connection) -> None:
        busy.set()
        go_on.wait()

    held = bench.writer.submit(hold_up)
    busy.wait()
    given_up = bench.writer.submit(lambda _: ran.set())
    assert given_up.cancel()
    go_on.set()
    held.result()
    assert bench.writer.submit(put("after")).result() == 1
    assert not ran.is_set()


def test_a_job_that_runs_cannot_be_cancelled(bench: Bench) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def slow(c: sqlite3.Connection) -> None:
        busy.set()
        go_on.wait()
        put("slow")(c)

    running = bench.writer.submit(slow)
    busy.wait()
    assert not running.cancel()
    go_on.set()
    running.result()
    assert names(bench) == {"slow"}


def test_closing_finishes_what_was_submitted(bench: Bench, tmp_path: Path) -> None:
    futures = bench.together(*(put(f"n{i}") for i in range(100)))
    bench.writer.close()
    assert all(future.result() == 1 for future in futures)
    with pytest.raises(Unavailable):
        bench.writer.submit(put("too late"))
    bench.writer.close()


def test_readers_see_a_state_and_not_what_is_being_written(bench: Bench, tmp_path: Path) -> None:
    readers = Readers(tmp_path / "bench.sqlite")
    count: Job = lambda c: c.execute("SELECT count(*) FROM meta").fetchone()[0]  # noqa: E731
    at_first = readers.run(count)

    def read_twice(c: sqlite3.Connection) -> tuple[int, int]:
        before = count(c)
        bench.writer.submit(put("meanwhile")).result()
        return before, count(c)

    assert readers.run(read_twice) == (at_first, at_first)
    assert readers.run(count) == at_first + 1
    readers.close()
    with pytest.raises(Unavailable):
        readers.run(count)


def test_a_reader_cannot_write(bench: Bench, tmp_path: Path) -> None:
    readers = Readers(tmp_path / "bench.sqlite")
    with pytest.raises(StorageFailed, match="readonly"):
        readers.run(put("forbidden"))
    assert names(bench) == set()
    readers.close()


def test_a_read_that_ends_after_closing_leaves_no_connection(bench: Bench, tmp_path: Path) -> None:
    readers = Readers(tmp_path / "bench.sqlite")
    kept: list[sqlite3.Connection] = []

    def close_meanwhile(c: sqlite3.Connection) -> None:
        kept.append(c)
        readers.close()

    readers.run(close_meanwhile)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        kept[0].execute("SELECT 1")

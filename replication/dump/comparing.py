"""What a database has to hold after its dump files were loaded, and whether it does.

A chain of files tells a document's leaves several times: a later leaf replaces what its history passes
through. So the leaves to be expected are a fold over the files in their order: add each leaf, remove its
ancestors. They are kept in a temporary SQLite file: there may be more of them than memory holds.

    file 1: a 1-x             file 2: a 2-y (1-x), a 2-z (1-x)             expected: a 2-y, a 2-z
"""

import contextlib
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from replication.client import CouchClient
from replication.dump.place import retried
from replication.values import Rev

_PAGE = 1000
_SHOWN = 10


class Comparison(msgspec.Struct, frozen=True):
    """`different`: documents whose leaves are not those expected, missing ones included, with the first
    ids. `further`: documents that only the database has.
    """

    documents: int
    leaves: int
    different: int
    further: int
    examples: list[str]


class ExpectedLeaves:
    """Leaves by document, from several files. As a context manager it removes its temporary file."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="metricis-leaves-")
        self._connection = sqlite3.connect(
            Path(self._directory.name, "leaves.sqlite"), isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE leaves (id BLOB NOT NULL, rev TEXT NOT NULL, PRIMARY KEY (id, rev)) WITHOUT ROWID"
        )
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._directory.cleanup()

    def add(self, doc_id: str, rev: str, path: Sequence[Rev]) -> None:
        """A leaf of the next line; `path` is its history, newest first."""
        known = self.of(doc_id)
        if rev in known:
            return
        key = _key(doc_id)
        if known:
            passed = known.intersection(map(str, path))
            self._connection.executemany(
                "DELETE FROM leaves WHERE id = ? AND rev = ?", [(key, each) for each in passed]
            )
        self._connection.execute("INSERT INTO leaves VALUES (?, ?)", (key, rev))

    def of(self, doc_id: str) -> set[str]:
        """The leaves of one document."""
        rows = self._connection.execute("SELECT rev FROM leaves WHERE id = ?", (_key(doc_id),))
        return {rev for (rev,) in rows}

    def counts(self) -> tuple[int, int]:
        """Documents and leaves."""
        row = self._connection.execute("SELECT count(DISTINCT id), count(*) FROM leaves").fetchone()
        return row[0], row[1]

    async def compare(self, client: CouchClient, database: str) -> Comparison:
        """Compare with what the database's feed tells; what was equal is forgotten. Raises
        CouchError.
        """
        documents, leaves = self.counts()
        since, further = "0", 0
        while True:
            page = await retried(client.changes, database, since, limit=_PAGE)
            if not page.changes:
                break
            for change in page.changes:
                expected = self.of(change.id)
                further += not expected
                if expected == set(change.revs):
                    self._connection.execute("DELETE FROM leaves WHERE id = ?", (_key(change.id),))
            since = page.last_seq
        different, _ = self.counts()
        rows = self._connection.execute("SELECT DISTINCT id FROM leaves ORDER BY id LIMIT ?", (_SHOWN,))
        examples = [bytes(key).decode("utf-8", "surrogatepass") for (key,) in rows]
        return Comparison(documents, leaves, different, further, examples)


def _key(doc_id: str) -> bytes:
    return doc_id.encode("utf-8", "surrogatepass")

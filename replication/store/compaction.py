"""Compaction: giving back the space of what can no longer be asked for, while the database serves.

A revision that another one followed is kept until here: a source may still be asked for it. Compaction drops
the content of every revision that is no leaf, then the attachments that nothing refers to, then the free
pages. Leaves and trees stay, so replication sees no difference.

It works in small transactions on the writer's thread, between those of clients, and each of them decides
anew from what is stored at that moment. None needs another one to have happened:

    what happens                       what follows
    -------------------------------    ---------------------------------------------------------------
    a leaf gets a child meanwhile      its content is left for the next compaction
    a purge removes the document       there is nothing to drop any more
    an attachment is referred to anew  the transaction sees it and keeps the data
    kill -9, a full disk, a shutdown   what was dropped is dropped, the rest waits; start it again
"""

import asyncio
import contextlib
import itertools
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from replication import revtree
from replication.errors import CouchError
from replication.store.purging import free_attachments, referenced
from replication.store.writing import encode_leaves

T = TypeVar("T")

DOCS_LOOKED_AT = 200
"""Trees that are decoded in one read."""
BODIES_A_TRANSACTION = 64
ATTACHMENTS_A_TRANSACTION = 64
PAGES_A_TRANSACTION = 256
EMPTYING_ATTEMPTS = 40
EMPTYING_PAUSE_S = 0.05
"""Bounds on how long a client's write waits behind compaction: some milliseconds each."""

log = structlog.get_logger()


class Run(Protocol):
    """Runs a job on one of the database's connections."""

    def __call__(self, job: Callable[[sqlite3.Connection], T], /) -> Awaitable[T]: ...


class Superseded(msgspec.Struct, frozen=True):
    """The content of one revision that is no leaf: the document's row and the body's."""

    doc: int
    body: int


class Progress(msgspec.Struct):
    """How far a compaction has come. Times are Unix times, in seconds."""

    total: int
    done: int
    started_on: int
    updated_on: int
    phase: str = "document_bodies"


class Compaction:
    """The compaction of one database: at most one runs."""

    def __init__(self, path: Path, *, read: Run, transact: Run) -> None:
        """`read` runs a query in one consistent state; `transact` a job in one transaction, on disk then."""
        self._path = path
        self._read = read
        self._transact = transact
        self._task: asyncio.Task[None] | None = None
        self.progress: Progress | None = None

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin, unless one is under way."""
        if not self.running:
            now = int(time.time())
            self.progress = Progress(0, 0, now, now)
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def finished(self) -> None:
        """Wait until none is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """End the one under way after its current transaction."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            await self._drop_superseded()
            await self._drop_unreferenced()
            await self._give_back_pages()
        except (CouchError, sqlite3.Error) as error:
            log.warning("compaction ended early", file=self._path.name, reason=str(error))
        finally:
            self.progress = None

    async def _drop_superseded(self) -> None:
        total = await self._read(_highest_doc)
        after = 0
        while after < total:
            self._tell(after, total, "document_bodies")
            seen = after
            after, found = await self._read(lambda c, seen=seen: superseded(c, seen))  # type: ignore[misc]
            for chunk in _chunks(found, BODIES_A_TRANSACTION):
                await self._transact(lambda c, chunk=chunk: drop_superseded(c, chunk))  # type: ignore[misc]

    async def _drop_unreferenced(self) -> None:
        digests = await self._read(unreferenced)
        done = 0
        for chunk in _chunks(digests, ATTACHMENTS_A_TRANSACTION):
            self._tell(done, len(digests), "attachments")
            await self._transact(lambda c, chunk=chunk: free_attachments(c, chunk))  # type: ignore[misc]
            done += len(chunk)

    async def _give_back_pages(self) -> None:
        total = left = await self._read(_free_pages)
        while left:
            self._tell(total - left, total, "free_pages")
            before, left = left, await self._transact(_vacuum)
            if left >= before:  # a file of schema 1 cannot shrink; its free pages are used again
                break
        await asyncio.to_thread(_checkpoint, self._path)

    def _tell(self, done: int, total: int, phase: str) -> None:
        if self.progress is not None:
            self.progress.done, self.progress.total, self.progress.phase = done, total, phase
            self.progress.updated_on = int(time.time())


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _highest_doc(connection: sqlite3.Connection) -> int:
    return int(_scalar(connection, "SELECT coalesce(max(doc), 0) FROM docs"))


def superseded(connection: sqlite3.Connection, after: int) -> tuple[int, list[Superseded]]:
    """What can be dropped of the documents that follow row `after`, and the row to go on from."""
    found: list[Superseded] = []
    rows = connection.execute(
        "SELECT doc, tree FROM docs WHERE doc > ? ORDER BY doc LIMIT ?", (after, DOCS_LOOKED_AT)
    ).fetchall()
    for doc, tree in rows:
        nodes = revtree.decode_tree(tree).values()
        found += [Superseded(doc, node.body) for node in nodes if node.superseded and node.body is not None]
    return (rows[-1][0] if len(rows) == DOCS_LOOKED_AT else _highest_doc(connection)), found


def drop_superseded(connection: sqlite3.Connection, found: Sequence[Superseded]) -> None:
    """Drop the content of these revisions, where they are still what they were when they were found."""
    for doc, group in itertools.groupby(found, key=lambda item: item.doc):
        row = connection.execute("SELECT tree FROM docs WHERE doc = ?", (doc,)).fetchone()
        if row is None:
            continue
        tree = dict(revtree.decode_tree(row[0]))
        wanted = {item.body for item in group}
        dropped = [node for node in tree.values() if node.superseded and node.body in wanted]
        tree |= {node.rev: msgspec.structs.replace(node, body=None) for node in dropped}
        connection.executemany("DELETE FROM bodies WHERE body = ?", [(node.body,) for node in dropped])
        connection.execute(
            "UPDATE docs SET tree = ?, leaves = ? WHERE doc = ?",
            (revtree.encode_tree(tree), encode_leaves(tree), doc),
        )


def unreferenced(connection: sqlite3.Connection) -> list[str]:
    """The digests of attachments that no body refers to."""
    used = referenced(connection)
    return [
        digest for (digest,) in connection.execute("SELECT digest FROM attachments") if digest not in used
    ]


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(_scalar(connection, "PRAGMA freelist_count"))


def _vacuum(connection: sqlite3.Connection) -> int:
    # One by one: a row without columns follows each page, and Python's module stops at the first of them.
    for _ in range(min(PAGES_A_TRANSACTION, _free_pages(connection))):
        connection.execute("PRAGMA incremental_vacuum(1)")
    return _free_pages(connection)


def _scalar(connection: sqlite3.Connection, query: str) -> Any:
    return connection.execute(query).fetchone()[0]


def _checkpoint(path: Path) -> None:
    """Bring the log back into the file, which only then is cut; beside clients, who are not kept waiting.

    The log is emptied as soon as no reader is in it: it has the bytes of what was purged.
    """
    where = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(where, uri=True, timeout=0)) as connection:
        for _ in range(EMPTYING_ATTEMPTS):
            with contextlib.suppress(sqlite3.OperationalError):
                if _scalar(connection, "PRAGMA wal_checkpoint(TRUNCATE)") == 0:
                    return
            time.sleep(EMPTYING_PAUSE_S)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

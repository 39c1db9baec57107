"""One site database: the async face of its file.

Reads run on a thread pool, each in one consistent state; writes queue for the file's writer thread.
Sequences go out as `<number>-<database>`, opaque to clients: a sequence that another database handed out
(the file was recreated, or restored from elsewhere) means "from the start".
"""

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from replication import revtree
from replication.edits import OWNER, Author, Edit
from replication.errors import BadRequest, MissingStub, NotFound
from replication.revtree import RevTree
from replication.store import reading, writing
from replication.store.bodies import KeptAttachment, Revision
from replication.store.compaction import Compaction
from replication.store.connection import Readers, Writer, open_writer
from replication.store.reading import Choose, FeedSlice, IdRange, Opened, Selection, Shown
from replication.store.runaways import Runaways
from replication.store.shared import SharedReads
from replication.store.signal import Signal
from replication.store.validating import Validation
from replication.store.writing import Written
from replication.values import Rev

T = TypeVar("T")

REVS_LIMIT = 1000
PIECE_BYTES = 1024 * 1024
"""Bytes of an attachment in memory at once, while it is sent."""
_LONGEST_SEQUENCE = 18
"""Digits: more never fit the numbers of SQLite, so this store cannot have handed them out."""


class ReaderThreads:
    """The threads on which the databases of a store are read.

    Few: Python runs one at a time, and the more wait for their turn, the longer the event loop waits for
    its own. Queries and filters have threads of their own, so that single documents pass them by.
    """

    def __init__(self, short: int = 2, long: int = 2) -> None:
        self.short = ThreadPoolExecutor(short, thread_name_prefix="reader")
        self.long = ThreadPoolExecutor(long, thread_name_prefix="long reader")

    def shutdown(self) -> None:
        """Wait for what runs and end."""
        self.short.shutdown()
        self.long.shutdown()


class Database:
    """An open database. Make one with `Registry.create` or `Registry.open`."""

    def __init__(
        self, path: Path, *, name: str, uuid: str, threads: "ReaderThreads", on_change: Callable[[], None]
    ) -> None:
        """Open the file, or create it as a new database with the identity `uuid`."""
        self.name = name
        self.path = path
        self._threads = threads
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self.changed = Signal()
        self.closed = False
        self._feed_reads: SharedReads[FeedSlice] = SharedReads()
        initial: dict[str, str | int] = {
            "uuid": uuid,
            "update_seq": 0,
            "doc_count": 0,
            "deleted_count": 0,
            "revs_limit": REVS_LIMIT,
        }
        connection = open_writer(path, initial=initial)
        self.uuid = str(writing.read_meta(connection)["uuid"])
        self._writer = Writer(connection, name=name, on_commit=self._committed)
        self._readers = Readers(path)
        self._runaways = Runaways()
        self.compaction = Compaction(path, read=self.read, transact=self.transact)

    async def close(self) -> None:
        """Finish the writes that were accepted, end the waiting feeds, close the file."""
        self.closed = True
        self.changed.notify()
        await self.compaction.stop()
        await asyncio.to_thread(self._writer.close)
        self._readers.close()

    # --- sequences and waiting ---------------------------------------------------------------------------

    def sequence(self, number: int) -> str:
        """A sequence as clients see it."""
        return f"{number}-{self.uuid[:12]}"

    async def since(self, text: str) -> int:
        """The number of a client's `since`: `0`, `now`, or a sequence. Raises BadRequest.

        0 when it comes from another database, or from a future of this one: its file was put back to an
        earlier state, and what the client has seen since then may be gone.
        """
        update_seq = int((await self.meta())["update_seq"])
        if text in ("0", "now"):
            return 0 if text == "0" else update_seq
        # Clients that take a sequence for a JSON value send its quotes too.
        digits, dash, uuid = text.strip('"').partition("-")
        if not (digits.isascii() and digits.isdigit() and dash and uuid):
            raise BadRequest(f"Malformed sequence supplied in 'since' parameter: {text[:80]!r}")
        if uuid != self.uuid[:12] or len(digits) > _LONGEST_SEQUENCE:
            return 0
        number = int(digits)
        return number if number <= update_seq else 0

    def _committed(self) -> None:
        # A closed event loop has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self.changed.notify()
        self._on_change()

    # --- writing -----------------------------------------------------------------------------------------

    async def write(self, edits: Sequence[Edit], *, new_edits: bool, author: Author = OWNER) -> list[Written]:
        """Store edits; returns when they are on disk, with one outcome an edit."""

        def write(connection: sqlite3.Connection) -> list[Written]:
            validation = Validation(connection, self.name, author, self._runaways)
            return writing.apply_edits(connection, edits, new_edits=new_edits, validation=validation)

        return await self.transact(write)

    async def put_local(self, local_id: str, number: int, json: bytes) -> None:
        """Write the `_local` document as its revision `0-<number>`. The last one wins, as in CouchDB."""

        def put(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO locals VALUES (?, ?, ?)", (local_id, number, json))

        await self.transact(put)

    async def delete_local(self, local_id: str) -> None:
        """Remove a `_local` document. Raises NotFound."""

        def delete(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM locals WHERE id = ?", (local_id,)).rowcount

        if not await self.transact(delete):
            raise NotFound("missing")

    async def maintain(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job on the writer's thread that changes no document; returns when it is on disk."""
        return await self.transact(job)

    async def transact(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job of `replication.store` in a transaction of its own; returns when it is on disk."""
        result: T = await asyncio.wrap_future(self._writer.submit(job))
        return result

    # --- reading -----------------------------------------------------------------------------------------

    async def read(self, job: Callable[[sqlite3.Connection], T], *, long: bool = False) -> T:
        """Run a query of `replication.store.reading` on a reader's thread. `long`: it may look at many
        documents, and others should not have to wait for it.
        """

        def run() -> Any:
            return self._readers.run(job)

        executor = self._threads.long if long else self._threads.short
        result: T = await self._loop.run_in_executor(executor, run)
        return result

    async def meta(self) -> dict[str, str | int]:
        """Identity and counters: uuid, update_seq, doc_count, deleted_count, revs_limit, purge_seq."""
        return await self.read(writing.read_meta)

    async def feed(
        self, since: int, limit: int, selection: Selection, *, documents: bool = False
    ) -> FeedSlice:
        """A slice of the changes feed. Feeds that were woken by one commit and go on from one place share one
        read: a thousand of them are one query. One with a filter of its own reads for itself: that is no key
        to find others by.
        """
        if selection.leaf_filter is not None:
            return await self.read(
                lambda c: reading.read_feed(c, since, limit, selection, documents=documents), long=True
            )
        return await self._feed_reads.answer(
            (self.changed.count, since, limit, selection, documents),
            lambda: self.read(lambda c: reading.read_feed(c, since, limit, selection, documents=documents)),
        )

    async def count_changes(self, since: int, before: int, selection: Selection) -> int:
        """How many changes after `since` and before `before` the selection shows."""
        return await self.read(lambda c: reading.count_changes(c, since, before, selection))

    async def feed_backwards(
        self, since: int, before: int, limit: int, selection: Selection, *, documents: bool = False
    ) -> FeedSlice:
        """A slice of the changes feed, newest first."""
        return await self.read(
            lambda c: reading.read_feed_backwards(c, since, before, limit, selection, documents=documents),
            long=selection.leaf_filter is not None,
        )

    async def revs_diff(self, asked: Mapping[str, Sequence[Rev]]) -> dict[str, tuple[list[Rev], list[Rev]]]:
        """The revisions that are not here, by id, with possible ancestors."""
        return await self.read(lambda c: reading.revs_diff(c, asked))

    async def missing_stubs(self, edits: Sequence[Edit]) -> list[MissingStub | None]:
        """For each replicated edit, why it could not be written if one of its stubs leads nowhere."""
        return await self.read(lambda c: [writing.missing_stub(c, edit) for edit in edits])

    async def revisions(self, doc_id: str, choose: Choose) -> Opened:
        """The document's tree, and the chosen revisions with their content where it is kept."""
        return await self.read(lambda c: reading.open_revisions(c, doc_id, choose))

    async def open_many(self, wanted: Sequence[tuple[str, Choose]]) -> list[Opened]:
        """`revisions` of the first of the wanted documents, one or more: ask again for the others."""
        return await self.read(lambda c: reading.open_many(c, wanted))

    async def shown(self, doc_ids: Sequence[str]) -> list[Shown | None]:
        """The winners of the first of the documents, one or more: ask again for the others."""
        return await self.read(lambda c: reading.read_shown(c, doc_ids))

    async def winner(self, doc_id: str) -> tuple[RevTree, Revision]:
        """The tree and its winning revision. Raises NotFound (`missing`; `deleted` for a deletion)."""
        tree, found = await self.revisions(doc_id, lambda tree: [revtree.winner(tree).rev] if tree else [])
        if not tree:
            raise NotFound("missing")
        revision = found[0][1]
        if revision is None or revision.deleted:
            raise NotFound("deleted")
        return tree, revision

    async def list_docs(
        self, ids: IdRange, *, after: str | None, skip: int, limit: int
    ) -> list[tuple[str, str]]:
        """(id, winning revision) of live documents in the order of the range, from `after` on."""
        return await self.read(lambda c: reading.list_docs(c, ids, after=after, skip=skip, limit=limit))

    async def count_before(self, ids: IdRange) -> int:
        """How many live documents a listing of the range passes over before its first one."""
        return await self.read(lambda c: reading.count_before(c, ids))

    async def winners(self, doc_ids: Sequence[str]) -> dict[str, tuple[str, bool]]:
        """(winning revision, deleted) of those of the documents that are known, by id."""
        return await self.read(lambda c: reading.winners(c, doc_ids))

    async def attachment_data(self, kept: KeptAttachment) -> bytes:
        """The bytes of an attachment."""
        return await self.read(lambda c: reading.read_attachment(c, kept.digest))

    async def attachment_pieces(
        self, kept: KeptAttachment, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes of an attachment as they are kept, from `start` to before `end`, at most PIECE_BYTES at
        a time. Data is found by its digest and never changes, so no state has to be held between pieces.
        """
        end = kept.kept_length if end is None else end
        for at in range(start, end, PIECE_BYTES):
            size = min(PIECE_BYTES, end - at)
            yield await self.read(functools.partial(_piece, kept.digest, at, size))

    async def local(self, local_id: str) -> tuple[str, bytes]:
        """A `_local` document as (revision, JSON body). Raises NotFound."""
        found = await self.read(lambda c: reading.read_local(c, local_id))
        if found is None:
            raise NotFound("missing")
        return found


def _piece(digest: str, start: int, size: int, connection: sqlite3.Connection) -> bytes:
    return reading.read_attachment_piece(connection, digest, start, size)

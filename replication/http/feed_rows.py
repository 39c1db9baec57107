"""The rows of a changes feed as text: the same rows in the frames of four kinds of feed.

    feed                 begins           a row                        a heartbeat          ends
    -----------------    -------------    -------------------------    -----------------    -----------------
    normal, longpoll     {"results":[     {…} with commas between      a line end           ], "last_seq", …}
    continuous                            {…} and a line end           a line end           {"last_seq", …}
    eventsource                           data: {…}, id: the seq       event: heartbeat

Rows are read in slices, each one consistent state of the file and bounded in rows and bytes, and a slice is
put together at once. Documents that are shown as they are stored come with the slice; only options that need
a document's tree or its attachments open it by itself.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from replication.http.documents import PLAIN, ReadOptions, readable_json
from replication.http.streaming import JsonStream
from replication.revtree import RevTree
from replication.store.database import Database
from replication.store.reading import BEYOND_EVERY_SEQUENCE, Choose, FeedRow, FeedSlice, Selection
from replication.values import Rev

PAGE = 1_000
"""Rows of a slice at most."""


class Frame(msgspec.Struct, frozen=True):
    """What stands around the rows of one kind of feed."""

    begin: bytes = b""
    before: bytes = b""
    """Each row."""
    between: bytes = b""
    after: bytes = b""
    """Each row, where the sequence does not follow it (`tells_id`)."""
    tells_id: bool = False
    heartbeat: bytes = b"\n"
    end: bytes | None = b""
    """Before the members of the last object; None: nothing is told at the end."""
    content_type: str = "application/json"


LISTED = Frame(begin=b'{"results":[\n', between=b",\n", end=b"\n],\n")
CONTINUOUS = Frame(after=b"\n", end=b"{")
EVENTS = Frame(
    before=b"data: ",
    after=b"\n\n",
    tells_id=True,
    heartbeat=b"event: heartbeat\ndata: \n\n",
    end=None,
    content_type="text/event-stream",
)


class Shape(msgspec.Struct, frozen=True):
    """What is in a row. `seq_interval`: only every so manieth row tells its sequence, counted by what is
    left of `limit`, as CouchDB does.
    """

    descending: bool
    all_leaves: bool
    include_docs: bool
    seq_interval: int
    selection: Selection
    reading: ReadOptions


class FeedRows:
    """Writes the rows after `since`, at most `limit`; keeps where it is."""

    def __init__(
        self, database: Database, out: JsonStream, frame: Frame, shape: Shape, *, since: int, limit: int
    ) -> None:
        self._database = database
        self._out = out
        self._frame = frame
        self._shape = shape
        self._before = BEYOND_EVERY_SEQUENCE
        self._first = True
        self._complete = False
        self.since = since
        self.left = limit
        self.last_seq = since
        """What the end of the feed tells."""

    async def begin(self) -> None:
        """What precedes the first row."""
        await self._out.write(self._frame.begin)

    async def write_all(self) -> None:
        """Write the rows that there are and were not written yet, at most as many as are left."""
        while self.left > 0 and not self._complete and not self._database.closed:
            await self.write(await self.next_slice())

    async def next_slice(self) -> FeedSlice:
        """The next rows, not written yet. `left` must not be 0."""
        limit = min(self.left, PAGE)
        shape = self._shape
        documents = shape.include_docs and shape.reading == PLAIN
        if shape.descending:
            return await self._database.feed_backwards(
                self.since, self._before, limit, shape.selection, documents=documents
            )
        return await self._database.feed(self.since, limit, shape.selection, documents=documents)

    async def write(self, slice_: FeedSlice) -> None:
        """Write the rows of `next_slice` and go on after them."""
        if self._shape.include_docs and self._shape.reading != PLAIN:
            await self._write_opened(slice_.rows)
        else:
            await self._write_lines([self._line(row, row.doc, at) for at, row in enumerate(slice_.rows)])
        self.left -= len(slice_.rows)
        self._complete = slice_.complete
        self.last_seq = slice_.last_seq
        if self._shape.descending:
            self._before = slice_.last_seq
        else:
            self.since = slice_.last_seq

    async def _write_opened(self, rows: Sequence[FeedRow]) -> None:
        done = 0
        while done < len(rows):
            wanted: list[tuple[str, Choose]] = [
                (row.id, partial(_only, (Rev.parse(row.rev),))) for row in rows[done:]
            ]
            for tree, found in await self._database.open_many(wanted):
                revision = found[0][1]
                doc = b"null"
                if revision is not None:
                    doc = await readable_json(self._database, tree, revision, self._shape.reading)
                await self._write_lines([self._line(rows[done], doc, done)])
                done += 1

    async def _write_lines(self, lines: Sequence[bytes]) -> None:
        if lines:
            text = self._frame.between.join(lines)
            await self._out.write(text if self._first else self._frame.between + text)
            self._first = False

    def _line(self, row: FeedRow, doc: bytes | None, at: int) -> bytes:
        told = (self.left - at) % self._shape.seq_interval == 0
        seq = b'"%b"' % self._database.sequence(row.seq).encode() if told else b"null"
        leaves = row.leaves if self._shape.all_leaves else b'[{"rev":%b}]' % msgspec.json.encode(row.rev)
        line = b'%b{"seq":%b,"id":%b,"changes":%b%b%b%b}' % (
            self._frame.before,
            seq,
            msgspec.json.encode(row.id),
            leaves,
            b',"deleted":true' if row.deleted else b"",
            b"" if doc is None else b',"doc":',
            doc or b"",
        )
        return line + (b"\nid: " + seq if self._frame.tells_id else b"") + self._frame.after

    async def heartbeat(self) -> None:
        """Say that the feed is alive."""
        await self._out.write(self._frame.heartbeat)
        await self._out.flush()

    async def end(self) -> None:
        """What follows the last row."""
        if self._frame.end is None:
            return
        pending = 0
        if self.left <= 0 and not self._database.closed:
            pending = await self._database.count_changes(self.since, self._before, self._shape.selection)
        last = {"last_seq": self._database.sequence(self.last_seq), "pending": pending}
        await self._out.write(self._frame.end + msgspec.json.encode(last)[1:] + b"\n")


def _only(revs: Sequence[Rev], tree: RevTree) -> Sequence[Rev]:  # noqa: ARG001
    return revs

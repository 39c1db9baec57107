"""Queries on one database file, run on a reader's connection inside one consistent state."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from replication import revtree
from replication.errors import NotFound
from replication.revtree import RevTree
from replication.store.bodies import Revision, decode_attachments, shown_document
from replication.store.selecting import LeafFilter, selected
from replication.values import Rev

BEYOND_EVERY_SEQUENCE = 2**63 - 1

SLICE_BYTES = 256 * 1024
"""Bodies that one read takes into memory before it stops; the last of them may be larger by itself."""

_FEED_ROWS = "SELECT seq, id, rev, deleted, leaves FROM docs WHERE seq > ? AND seq < ?"
# CROSS: the documents in the order of their changes first, whatever the planner believes of the bodies.
_FEED_DOCUMENTS = (
    "SELECT seq, id, rev, deleted, leaves, json, attachments "
    "FROM docs CROSS JOIN bodies ON bodies.body = docs.body WHERE seq > ? AND seq < ?"
)
_SHOWN = (
    "SELECT rev, deleted, json, attachments "
    "FROM docs CROSS JOIN bodies ON bodies.body = docs.body WHERE id = ?"
)


class FeedRow(msgspec.Struct, frozen=True):
    """One document's last change. `leaves` is JSON, winner first; `doc` is the winner where asked for."""

    seq: int
    id: str
    rev: str
    deleted: bool
    leaves: bytes
    doc: bytes | None = None


class FeedSlice(msgspec.Struct, frozen=True):
    """Rows of a feed in order. `last_seq` is where to go on; `complete`: there was no more to read."""

    rows: tuple[FeedRow, ...]
    last_seq: int
    complete: bool


class Selection(msgspec.Struct, frozen=True):
    """Which documents a feed shows: ids with one of the prefixes, or the named ones; None = no such limit.

    `leaf_filter` comes on top of that: changes that it hides are still counted as pending, as in CouchDB.
    """

    prefixes: tuple[str, ...] | None = None
    doc_ids: tuple[str, ...] | None = None
    leaf_filter: LeafFilter | None = None


def read_feed(
    connection: sqlite3.Connection, since: int, limit: int, selection: Selection, *, documents: bool = False
) -> FeedSlice:
    """Changes after `since`, at most `limit` (1 or more) that the selection shows: what it hides does not
    count. With `documents` each row has its document, and the slice ends after SLICE_BYTES of them.
    """
    since_to_end = (since, BEYOND_EVERY_SEQUENCE)
    rows = _changes(connection, since_to_end, limit, selection, newest_first=False, documents=documents)
    if _stopped_early(rows, limit):
        return FeedSlice(rows, rows[-1].seq, complete=False)
    # Everything visible was read: go on after the invisible rows too.
    (update_seq,) = connection.execute("SELECT value FROM meta WHERE name = 'update_seq'").fetchone()
    return FeedSlice(rows, max(since, update_seq), complete=True)


def read_feed_backwards(
    connection: sqlite3.Connection,
    since: int,
    before: int,
    limit: int,
    selection: Selection,
    *,
    documents: bool = False,
) -> FeedSlice:
    """Changes after `since` and before `before`, newest first; `last_seq` is where the next slice ends."""
    rows = _changes(connection, (since, before), limit, selection, newest_first=True, documents=documents)
    return FeedSlice(rows, rows[-1].seq if rows else since, complete=not _stopped_early(rows, limit))


def _stopped_early(rows: Sequence[FeedRow], limit: int) -> bool:
    return len(rows) == limit or sum(len(row.doc or b"") for row in rows) >= SLICE_BYTES


def count_changes(connection: sqlite3.Connection, since: int, before: int, selection: Selection) -> int:
    """How many changes after `since` and before `before` the selection shows."""
    if selection.doc_ids is not None:
        return len(_named_changes(connection, since, before, selection))
    condition, parameters = _visible(selection.prefixes)
    (count,) = connection.execute(
        f"SELECT count(*) FROM docs WHERE seq > ? AND seq < ? AND {condition}",  # noqa: S608
        (since, before, *parameters),
    ).fetchone()
    return int(count)


def _changes(
    connection: sqlite3.Connection,
    bounds: tuple[int, int],
    limit: int,
    selection: Selection,
    *,
    newest_first: bool,
    documents: bool,
) -> tuple[FeedRow, ...]:
    if selection.doc_ids is not None:
        return _named_page(
            connection, bounds, limit, selection, newest_first=newest_first, documents=documents
        )
    condition, parameters = _visible(selection.prefixes)
    order = "DESC" if newest_first else "ASC"
    # Put together from constants; every value is a bound parameter.
    query = f"{_FEED_DOCUMENTS if documents else _FEED_ROWS} AND {condition} ORDER BY seq {order} LIMIT ?"
    # A filter looks at the documents here, and what it hides does not count.
    most = limit if selection.leaf_filter is None else -1
    found = connection.execute(query, (*bounds, *parameters, most))
    rows: Iterator[FeedRow] = map(_document_row, found) if documents else map(_feed_row, found)
    if selection.leaf_filter is not None:
        chosen = selected(connection, rows, selection.leaf_filter)
        rows = (
            msgspec.structs.replace(row, leaves=leaves) for row, leaves in itertools.islice(chosen, limit)
        )
    return _until_full(rows) if documents else tuple(rows)


def _until_full(rows: Iterator[FeedRow]) -> tuple[FeedRow, ...]:
    taken, size = [], 0
    for row in rows:
        taken.append(row)
        size += len(row.doc or b"")
        if size >= SLICE_BYTES:
            break
    return tuple(taken)


def _named_page(
    connection: sqlite3.Connection,
    bounds: tuple[int, int],
    limit: int,
    selection: Selection,
    *,
    newest_first: bool,
    documents: bool,
) -> tuple[FeedRow, ...]:
    named = _named_changes(connection, *bounds, selection)
    rows = sorted(named, key=lambda row: row.seq, reverse=newest_first)[:limit]
    if not documents:
        return tuple(rows)
    query = f"{_FEED_DOCUMENTS} AND seq = ?"
    return _until_full(
        _document_row(found) for row in rows for found in connection.execute(query, (*bounds, row.seq))
    )


def _named_changes(
    connection: sqlite3.Connection, since: int, before: int, selection: Selection
) -> list[FeedRow]:
    """One look-up an id: SQLite limits the number of parameters, and its JSON functions end a text at NUL."""
    condition, parameters = _visible(selection.prefixes)
    query = f"{_FEED_ROWS} AND {condition} AND id = ?"
    return [
        _feed_row(row)
        for doc_id in dict.fromkeys(selection.doc_ids or ())
        for row in connection.execute(query, (since, before, *parameters, doc_id))
    ]


def _feed_row(row: tuple[int, str, str, int, bytes]) -> FeedRow:
    seq, doc_id, rev, deleted, leaves = row
    return FeedRow(seq, doc_id, rev, bool(deleted), leaves)


def _document_row(row: tuple[int, str, str, int, bytes, bytes, bytes | None]) -> FeedRow:
    seq, doc_id, rev, deleted, leaves, body, attachments = row
    doc = shown_document(doc_id, rev, body, attachments, deleted=bool(deleted))
    return FeedRow(seq, doc_id, rev, bool(deleted), leaves, doc)


def _visible(prefixes: tuple[str, ...] | None) -> tuple[str, list[str]]:
    if prefixes is None:
        return "1", []
    ranges = " OR ".join("(id >= ? AND id < ?)" for _ in prefixes)
    # From each prefix to its successor in bytewise order: `battery:` … `battery;`.
    bounds = [(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)) for prefix in prefixes]
    return f"({ranges or '0'})", [bound for pair in bounds for bound in pair]


def read_tree(connection: sqlite3.Connection, doc_id: str) -> RevTree:
    """The document's tree; empty when there is no such document."""
    row = connection.execute("SELECT tree FROM docs WHERE id = ?", (doc_id,)).fetchone()
    return revtree.EMPTY if row is None else revtree.decode_tree(row[0])


def read_revision(connection: sqlite3.Connection, doc_id: str, tree: RevTree, rev: Rev) -> Revision | None:
    """The revision with its content; None when it is unknown or its content is not kept."""
    node = tree.get(rev)
    if node is None or node.body is None:
        return None
    json, attachments = connection.execute(
        "SELECT json, attachments FROM bodies WHERE body = ?", (node.body,)
    ).fetchone()
    ancestry = tuple(revtree.ancestry(tree, rev))
    return Revision(doc_id, rev, node.deleted, json, ancestry, decode_attachments(attachments))


Choose = Callable[[RevTree], Sequence[Rev]]
"""Which revisions of a document are wanted."""

Opened = tuple[RevTree, list[tuple[Rev, Revision | None]]]
"""A document's tree, and the wanted revisions with their content where it is kept."""


def open_revisions(connection: sqlite3.Connection, doc_id: str, choose: Choose) -> Opened:
    """The chosen revisions of one document."""
    tree = read_tree(connection, doc_id)
    return tree, [(rev, read_revision(connection, doc_id, tree, rev)) for rev in choose(tree)]


def open_many(connection: sqlite3.Connection, wanted: Sequence[tuple[str, Choose]]) -> list[Opened]:
    """The first of the wanted documents, one or more: as many as have SLICE_BYTES."""
    opened: list[Opened] = []
    size = 0
    for doc_id, choose in wanted:
        found = open_revisions(connection, doc_id, choose)
        opened.append(found)
        size += sum(len(revision.body) for _, revision in found[1] if revision is not None)
        if size >= SLICE_BYTES:
            break
    return opened


class Shown(msgspec.Struct, frozen=True):
    """A winner, and the document as it goes out when nothing more is asked for."""

    rev: str
    deleted: bool
    doc: bytes


def read_shown(connection: sqlite3.Connection, doc_ids: Sequence[str]) -> list[Shown | None]:
    """The winners of the first of the documents, one or more: as many as have SLICE_BYTES; None: no such."""
    found: list[Shown | None] = []
    size = 0
    for doc_id in doc_ids:
        row = connection.execute(_SHOWN, (doc_id,)).fetchone()
        if row is None:
            found.append(None)
            continue
        rev, deleted, body, attachments = row
        doc = shown_document(doc_id, rev, body, attachments, deleted=bool(deleted))
        found.append(Shown(rev, bool(deleted), doc))
        size += len(doc)
        if size >= SLICE_BYTES:
            break
    return found


def revs_diff(
    connection: sqlite3.Connection, asked: Mapping[str, Sequence[Rev]]
) -> dict[str, tuple[list[Rev], list[Rev]]]:
    """For each id with unknown revisions: those, and leaves that may be their ancestors."""
    found = {}
    for doc_id, revs in asked.items():
        row = connection.execute("SELECT rev, tree FROM docs WHERE id = ?", (doc_id,)).fetchone()
        # Mostly a client asks of what is here already: the winner, and no tree needs decoding.
        if row is not None and all(str(rev) == row[0] for rev in revs):
            continue
        tree = revtree.EMPTY if row is None else revtree.decode_tree(row[1])
        absent = revtree.missing(tree, revs)
        if absent:
            found[doc_id] = (absent, revtree.possible_ancestors(tree, absent))
    return found


def read_attachment(connection: sqlite3.Connection, digest: str) -> bytes:
    """An attachment's data. Raises NotFound when its revision was purged or compacted away meanwhile."""
    row = connection.execute("SELECT data FROM attachments WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise NotFound("Document is missing attachment")
    return bytes(row[0])


def read_attachment_piece(connection: sqlite3.Connection, digest: str, start: int, size: int) -> bytes:
    """At most `size` bytes of an attachment from `start` on, the rest of it unread. Raises NotFound when the
    data went away since its document was read.
    """
    row = connection.execute("SELECT rowid FROM attachments WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise NotFound("the attachment is gone")
    with connection.blobopen("attachments", "data", row[0], readonly=True) as blob:
        blob.seek(start)
        return blob.read(size)


def read_local(connection: sqlite3.Connection, local_id: str) -> tuple[str, bytes] | None:
    """A `_local` document as (revision, JSON body)."""
    row = connection.execute("SELECT rev, json FROM locals WHERE id = ?", (local_id,)).fetchone()
    return None if row is None else (f"0-{row[0]}", row[1])


class IdRange(msgspec.Struct, frozen=True):
    """Which documents a listing shows, by id, bytewise. `descending`: `start` is the greatest id."""

    start: str | None = None
    end: str | None = None
    inclusive_end: bool = True
    descending: bool = False

    def holds(self, key: str) -> bool:
        """Whether a key lies in the range."""
        low, high = (self.end, self.start) if self.descending else (self.start, self.end)
        if not self.inclusive_end and key == self.end:
            return False
        return (low is None or key >= low) and (high is None or key <= high)


def list_docs(
    connection: sqlite3.Connection, ids: IdRange, *, after: str | None, skip: int, limit: int
) -> list[tuple[str, str]]:
    """(id, winning revision) of at most `limit` live documents in the order of the range, from `after` on."""
    # Put together from constants; every value is a bound parameter.
    up, order = ("<", "DESC") if ids.descending else (">", "ASC")
    down = (">" if ids.descending else "<") + ("=" if ids.inclusive_end else "")
    bounds = [(up, after) if after is not None else (f"{up}=", ids.start), (down, ids.end)]
    held = [(comparison, bound) for comparison, bound in bounds if bound is not None]
    where = " AND ".join(["NOT deleted", *(f"id {comparison} ?" for comparison, _ in held)])
    return list(
        connection.execute(
            f"SELECT id, rev FROM docs WHERE {where} ORDER BY id {order} LIMIT ? OFFSET ?",  # noqa: S608
            (*(bound for _, bound in held), limit, skip),
        )
    )


def count_before(connection: sqlite3.Connection, ids: IdRange) -> int:
    """How many live documents a listing of the range passes over before its first one."""
    if ids.start is None:
        return 0
    (count,) = connection.execute(
        f"SELECT count(*) FROM docs WHERE NOT deleted AND id {'>' if ids.descending else '<'} ?",  # noqa: S608
        (ids.start,),
    ).fetchone()
    return int(count)


def count_docs(connection: sqlite3.Connection, ids: IdRange) -> int:
    """How many live documents lie in a range that has both ends."""
    low, high = sorted((ids.start or "", ids.end or ""))
    query = "SELECT count(*) FROM docs WHERE NOT deleted AND id >= ? AND id <= ?"
    return int(connection.execute(query, (low, high)).fetchone()[0])


def winners(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """(winning revision, deleted) of those of the documents that are known, by id."""
    found = {}
    for key in keys:
        row = connection.execute("SELECT rev, deleted FROM docs WHERE id = ?", (key,)).fetchone()
        if row is not None:
            found[key] = (row[0], bool(row[1]))
    return found


def read_sequence(connection: sqlite3.Connection, doc_id: str) -> int:
    """The number of the document's last change; 0 for one that is not here."""
    row = connection.execute("SELECT seq FROM docs WHERE id = ?", (doc_id,)).fetchone()
    return 0 if row is None else int(row[0])

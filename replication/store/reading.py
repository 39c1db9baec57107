"""Queries on one database file, run on a reader's connection inside one consistent state."""

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from replication import revtree
from replication.revtree import RevTree
from replication.store.bodies import Revision, decode_attachments
from replication.store.selecting import LeafSelector, chosen_leaves
from replication.values import Rev

BEYOND_EVERY_SEQUENCE = 2**63 - 1

_FEED_ROWS = "SELECT seq, id, rev, deleted, leaves FROM docs WHERE seq > ? AND seq < ?"


class FeedRow(msgspec.Struct, frozen=True):
    """One document's last change. `leaves` is JSON, winner first."""

    seq: int
    id: str
    rev: str
    deleted: bool
    leaves: bytes


class FeedSlice(msgspec.Struct, frozen=True):
    """Rows of a feed in order. `last_seq` is where to go on."""

    rows: tuple[FeedRow, ...]
    last_seq: int


class Selection(msgspec.Struct, frozen=True):
    """Which documents a feed shows: ids with one of the prefixes, or the named ones; None = no such limit.

    `selector` is a filter on top of that: changes that it hides are still counted as pending, as in CouchDB.
    """

    prefixes: tuple[str, ...] | None = None
    doc_ids: tuple[str, ...] | None = None
    selector: LeafSelector | None = None


def read_feed(connection: sqlite3.Connection, since: int, limit: int, selection: Selection) -> FeedSlice:
    """Changes after `since`, at most `limit` (1 or more) that the selection shows: what it hides does not
    count.
    """
    rows = _changes(connection, since, BEYOND_EVERY_SEQUENCE, limit, selection, newest_first=False)
    if len(rows) == limit:
        return FeedSlice(rows, rows[-1].seq)
    # Everything visible was read: go on after the invisible rows too.
    (update_seq,) = connection.execute("SELECT value FROM meta WHERE name = 'update_seq'").fetchone()
    return FeedSlice(rows, max(since, update_seq))


def read_feed_backwards(
    connection: sqlite3.Connection, since: int, before: int, limit: int, selection: Selection
) -> FeedSlice:
    """Changes after `since` and before `before`, newest first; `last_seq` is where the next slice ends."""
    rows = _changes(connection, since, before, limit, selection, newest_first=True)
    return FeedSlice(rows, rows[-1].seq if rows else since)


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
    since: int,
    before: int,
    limit: int,
    selection: Selection,
    *,
    newest_first: bool,
) -> tuple[FeedRow, ...]:
    if selection.doc_ids is not None:
        named = _named_changes(connection, since, before, selection)
        return tuple(sorted(named, key=lambda row: row.seq, reverse=newest_first)[:limit])
    condition, parameters = _visible(selection.prefixes)
    order = "DESC" if newest_first else "ASC"
    # Put together from constants; every value is a bound parameter.
    query = f"{_FEED_ROWS} AND {condition} ORDER BY seq {order} LIMIT ?"
    if selection.selector is not None:
        every = map(_feed_row, connection.execute(query, (since, before, *parameters, -1)))
        return tuple(itertools.islice(_selected(connection, every, selection.selector), limit))
    return tuple(map(_feed_row, connection.execute(query, (since, before, *parameters, limit))))


def _selected(
    connection: sqlite3.Connection, rows: Iterable[FeedRow], selector: LeafSelector
) -> Iterator[FeedRow]:
    for row in rows:
        leaves = chosen_leaves(connection, row.id, row.leaves, selector)
        if leaves is not None:
            yield msgspec.structs.replace(row, leaves=leaves)


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


def revs_diff(
    connection: sqlite3.Connection, asked: Mapping[str, Sequence[Rev]]
) -> dict[str, tuple[list[Rev], list[Rev]]]:
    """For each id with unknown revisions: those, and leaves that may be their ancestors."""
    found = {}
    for doc_id, revs in asked.items():
        tree = read_tree(connection, doc_id)
        absent = revtree.missing(tree, revs)
        if absent:
            found[doc_id] = (absent, revtree.possible_ancestors(tree, absent))
    return found


def read_attachment(connection: sqlite3.Connection, digest: str) -> bytes:
    """An attachment's data. Its digest comes from a stored revision, so it is there."""
    (data,) = connection.execute("SELECT data FROM attachments WHERE digest = ?", (digest,)).fetchone()
    return bytes(data)


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


def winners(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """(winning revision, deleted) of those of the documents that are known, by id."""
    found = {}
    for key in keys:
        row = connection.execute("SELECT rev, deleted FROM docs WHERE id = ?", (key,)).fetchone()
        if row is not None:
            found[key] = (row[0], bool(row[1]))
    return found

"""Queries on one database file, run on a reader's connection inside one consistent state."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from replication import revtree
from replication.revtree import RevTree
from replication.store.bodies import Revision, decode_attachments
from replication.values import Rev


class FeedRow(msgspec.Struct, frozen=True):
    """One document's last change. `leaves` is JSON, winner first; `body` is the key of the winner's content.
    """

    seq: int
    id: str
    rev: str
    deleted: bool
    leaves: bytes


class FeedSlice(msgspec.Struct, frozen=True):
    """Rows of a feed in order. `last_seq` is where to go on; `pending` counts visible changes after it."""

    rows: tuple[FeedRow, ...]
    last_seq: int
    pending: int


class Selection(msgspec.Struct, frozen=True):
    """Which documents a feed shows: ids with one of the prefixes, or the named ones; None = no such limit."""

    prefixes: tuple[str, ...] | None = None
    doc_ids: tuple[str, ...] | None = None


def read_feed(
    connection: sqlite3.Connection, since: int, limit: int, selection: Selection, *, descending: bool = False
) -> FeedSlice:
    """Changes after `since`, at most `limit` rows that the selection shows (the limit counts after
    filtering).
    """
    condition, parameters = _shown(selection)
    order = "DESC" if descending else "ASC"
    # The condition is assembled from constants; every value is a bound parameter.
    rows = [
        FeedRow(seq, doc_id, rev, bool(deleted), leaves)
        for seq, doc_id, rev, deleted, leaves in connection.execute(
            f"SELECT seq, id, rev, deleted, leaves FROM docs WHERE seq > ? AND {condition}"  # noqa: S608
            f" ORDER BY seq {order} LIMIT ?",
            (since, *parameters, limit),
        )
    ]
    (update_seq,) = connection.execute("SELECT value FROM meta WHERE name = 'update_seq'").fetchone()
    if descending:
        return FeedSlice(tuple(rows), rows[-1].seq if rows else since, 0)
    if len(rows) < limit:
        # Everything visible was read: go on after the invisible rows too.
        return FeedSlice(tuple(rows), max(since, update_seq), 0)
    last_seq = rows[-1].seq if rows else since
    (pending,) = connection.execute(
        f"SELECT count(*) FROM docs WHERE seq > ? AND {condition}",  # noqa: S608
        (last_seq, *parameters),
    ).fetchone()
    return FeedSlice(tuple(rows), last_seq, pending)


def _shown(selection: Selection) -> tuple[str, list[str]]:
    conditions, parameters = ["1"], []
    if selection.prefixes is not None:
        ranges = " OR ".join("(id >= ? AND id < ?)" for _ in selection.prefixes)
        conditions.append(f"({ranges or '0'})")
        for prefix in selection.prefixes:
            # The prefix's successor in bytewise order: `battery:` … `battery;`.
            parameters += [prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)]
    if selection.doc_ids is not None:
        # One JSON array instead of a parameter an id: SQLite limits the number of parameters.
        conditions.append("id IN (SELECT value FROM json_each(?))")
        parameters.append(msgspec.json.encode(selection.doc_ids).decode())
    return " AND ".join(conditions), parameters


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


def all_docs(
    connection: sqlite3.Connection, *, keys: Sequence[str] | None, start: str, end: str | None, limit: int
) -> Iterator[tuple[str, str, bool]]:
    """(id, winning revision, deleted) in the order of ids; with `keys`, those documents, deleted ones
    included.
    """
    if keys is not None:
        for key in keys:
            row = connection.execute("SELECT id, rev, deleted FROM docs WHERE id = ?", (key,)).fetchone()
            if row is not None:
                yield row[0], row[1], bool(row[2])
        return
    rows = connection.execute(
        "SELECT id, rev FROM docs WHERE NOT deleted AND id >= ? AND (? IS NULL OR id <= ?)"
        " ORDER BY id LIMIT ?",
        (start, end, end, limit),
    )
    for doc_id, rev in rows:
        yield doc_id, rev, False

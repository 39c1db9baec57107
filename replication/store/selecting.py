"""Filters that look at documents: the leaves in a feed that pass; deletions by what their tombstones say."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import msgspec

from replication import revtree
from replication.store.bodies import shown_document
from replication.values import Rev

_decode_leaves = msgspec.json.Decoder(list[dict[str, str]]).decode


Passes = Callable[[Iterable[bytes]], Iterator[bool]]
"""For each of the documents in order, whether it is shown. A document is one JSON object with its `_id` and
`_rev`. Called on a reader's thread; it may take documents ahead of what it has said.
"""


class LeafFilter(msgspec.Struct, frozen=True):
    """The condition, and whether every leaf is held against it or the winner alone."""

    passes: Passes
    every_leaf: bool = False


class Row(Protocol):
    """Of a feed: `leaves` is JSON, winner first."""

    @property
    def id(self) -> str: ...
    @property
    def leaves(self) -> bytes: ...


R = TypeVar("R", bound=Row)


def selected(
    connection: sqlite3.Connection, rows: Iterable[R], leaf_filter: LeafFilter
) -> Iterator[tuple[R, bytes]]:
    """The rows of which a leaf passes, each with those that do, as JSON. Raises what the filter raises."""
    asked: deque[tuple[R, list[Rev]]] = deque()
    passed: list[dict[str, str]] = []
    held = 0
    for passes in leaf_filter.passes(_documents(connection, rows, asked, every_leaf=leaf_filter.every_leaf)):
        row, revs = asked[0]
        if passes:
            passed.append({"rev": str(revs[held])})
        held += 1
        if held == len(revs):
            asked.popleft()
            if passed:
                yield row, msgspec.json.encode(passed)
            passed, held = [], 0


def _documents(
    connection: sqlite3.Connection,
    rows: Iterable[R],
    asked: deque[tuple[R, list[Rev]]],
    *,
    every_leaf: bool,
) -> Iterator[bytes]:
    for row in rows:
        revs = [Rev.parse(leaf["rev"]) for leaf in _decode_leaves(row.leaves)]
        (stored,) = connection.execute("SELECT tree FROM docs WHERE id = ?", (row.id,)).fetchone()
        tree = revtree.decode_tree(stored)
        looked_at = revs if every_leaf else revs[:1]
        asked.append((row, looked_at))
        for rev in looked_at:
            yield _document(connection, row.id, tree[rev])


def _document(connection: sqlite3.Connection, doc_id: str, node: revtree.Node) -> bytes:
    row = connection.execute("SELECT json, attachments FROM bodies WHERE body = ?", (node.body,)).fetchone()
    json, attachments = (b"{}", None) if row is None else row
    return shown_document(doc_id, str(node.rev), json, attachments, deleted=node.deleted)

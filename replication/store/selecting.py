"""Filters that look at documents: the leaves in a feed that pass; deletions by what their tombstones say."""

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from replication import revtree
from replication.store.bodies import decode_attachments
from replication.store.winners import stubs
from replication.values import Rev

_decode = msgspec.json.Decoder(dict[str, Any]).decode


Passes = Callable[[dict[str, Any]], bool]
"""Whether a document, as one JSON object with its `_id` and `_rev`, is shown. Called on a reader's thread."""


class LeafFilter(msgspec.Struct, frozen=True):
    """The condition, and whether every leaf is held against it or the winner alone."""

    passes: Passes
    every_leaf: bool = False


def chosen_leaves(
    connection: sqlite3.Connection, doc_id: str, leaves: bytes, leaf_filter: LeafFilter
) -> bytes | None:
    """Those of a row's leaves (JSON, winner first) that pass, as JSON; None when none does."""
    revs = [Rev.parse(leaf["rev"]) for leaf in msgspec.json.decode(leaves, type=list[dict[str, str]])]
    (stored,) = connection.execute("SELECT tree FROM docs WHERE id = ?", (doc_id,)).fetchone()
    tree = revtree.decode_tree(stored)
    looked_at = revs if leaf_filter.every_leaf else revs[:1]
    passed = [
        {"rev": str(rev)} for rev in looked_at if leaf_filter.passes(_value(connection, doc_id, tree[rev]))
    ]
    return msgspec.json.encode(passed) if passed else None


def _value(connection: sqlite3.Connection, doc_id: str, node: revtree.Node) -> dict[str, Any]:
    front: dict[str, Any] = {"_id": doc_id, "_rev": str(node.rev)}
    if node.deleted:
        front["_deleted"] = True
    row = connection.execute("SELECT json, attachments FROM bodies WHERE body = ?", (node.body,)).fetchone()
    if row is None:
        return front
    attachments = stubs(decode_attachments(row[1]))
    return {**front, **({"_attachments": attachments} if attachments else {}), **_decode(row[0])}

"""Purging: taking leaves out of a document for good, as if they had never been written.

A deletion is an edit: it is replicated, and the older content stays until compaction. A purge is what an
erasure needs: the leaf, the ancestors that only it had, their bodies and the attachments that nothing else
refers to are freed in one transaction. It is not replicated: every replica has to be purged.

    what is purged               the document                     its row in the feed
    -------------------------    -----------------------------    -----------------------------------
    nothing that is a leaf       unchanged                        unchanged
    a leaf of several            another leaf may win             moves to a new sequence
    the last leaf                is unknown again                 disappears; update_seq stays
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from replication import revtree
from replication.revtree import RevTree
from replication.store.bodies import decode_attachments
from replication.store.indexes import forget
from replication.store.writing import counters_of, put_doc, read_meta, save_counters
from replication.values import Rev

_revs = msgspec.json.Decoder(list[str])


def purge(connection: sqlite3.Connection, asked: Mapping[str, Sequence[Rev]]) -> dict[str, list[Rev]]:
    """Purge the leaves that are named, by document id; what was purged, with an entry for every document."""
    # Also pages that become free are overwritten, not only what is left of pages in use.
    connection.execute("PRAGMA secure_delete = ON")
    meta = read_meta(connection)
    counters = counters_of(meta)
    purge_seq = int(meta["purge_seq"])
    purged: dict[str, list[Rev]] = {}
    freed: set[str] = set()
    for doc_id, revs in asked.items():
        purge_seq += 1
        connection.execute(
            "INSERT INTO purges VALUES (?, ?, ?)",
            (purge_seq, doc_id, msgspec.json.encode([str(rev) for rev in revs])),
        )
        row = connection.execute("SELECT doc, deleted, tree FROM docs WHERE id = ?", (doc_id,)).fetchone()
        tree = revtree.EMPTY if row is None else revtree.decode_tree(row[2])
        kept, purged[doc_id] = revtree.without_leaves(tree, revs)
        if not purged[doc_id]:
            continue
        freed |= _free_bodies(connection, tree, kept)
        forget(connection, row[0])
        if kept:
            counters.update_seq += 1
            put_doc(connection, doc_id, row, kept, counters, seq=counters.update_seq)
        else:
            connection.execute("DELETE FROM docs WHERE doc = ?", (row[0],))
            counters.doc_count -= not row[1]
            counters.deleted_count -= bool(row[1])
    save_counters(connection, counters)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'purge_seq'", (purge_seq,))
    connection.execute("DELETE FROM purges WHERE seq <= ?", (purge_seq - int(meta["purged_infos_limit"]),))
    free_attachments(connection, freed)
    connection.execute("PRAGMA secure_delete = FAST")
    return purged


def _free_bodies(connection: sqlite3.Connection, tree: RevTree, kept: RevTree) -> set[str]:
    """Delete the content of the nodes that were not kept; the digests that it referred to."""
    digests: set[str] = set()
    for rev, node in tree.items():
        if rev in kept or node.body is None:
            continue
        (stored,) = connection.execute(
            "SELECT attachments FROM bodies WHERE body = ?", (node.body,)
        ).fetchone()
        digests |= {attachment.digest for attachment in decode_attachments(stored).values()}
        connection.execute("DELETE FROM bodies WHERE body = ?", (node.body,))
    return digests


def referenced(connection: sqlite3.Connection) -> set[str]:
    """The digests that some body refers to."""
    stored = connection.execute("SELECT attachments FROM bodies WHERE attachments IS NOT NULL")
    return {kept.digest for (json,) in stored for kept in decode_attachments(json).values()}


def free_attachments(connection: sqlite3.Connection, digests: Iterable[str]) -> None:
    """Delete the attachments among `digests` that no body refers to (any more)."""
    candidates = set(digests)
    if candidates:
        unused = candidates - referenced(connection)
        connection.executemany("DELETE FROM attachments WHERE digest = ?", [(digest,) for digest in unused])


def purged_infos(connection: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    """The purges that are remembered, oldest first, as (document id, revisions asked for)."""
    rows = connection.execute("SELECT id, revs FROM purges ORDER BY seq")
    return [(doc_id, _revs.decode(revs)) for doc_id, revs in rows]

"""Applying edits to a database, inside the writer thread's transaction.

Each edit is merged into its document's tree; what is new gets a body row, a sequence number and a new `docs`
row. An edit that is known already takes no sequence number, unless it brings an ancestor that was taken for a
leaf: a batch pushed twice is free.
"""

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from replication import revtree
from replication.edits import Attachment, Edit, interactive_path
from replication.errors import (
    Conflict,
    CouchError,
    Forbidden,
    FunctionFailed,
    MissingStub,
    NotImplementedHere,
    Unauthorized,
)
from replication.revtree import Node, RevTree
from replication.store.bodies import KeptAttachment, decode_attachments, encode_attachments
from replication.store.validating import Validation
from replication.values import Rev

_OF_ONE_EDIT = (Conflict, MissingStub, Forbidden, Unauthorized, FunctionFailed, NotImplementedHere)
"""Why one edit is not made while the others of its batch are."""


class Written(msgspec.Struct, frozen=True):
    """What became of one edit: the revision it has now, or why it was not made."""

    id: str
    rev: str | None
    failure: CouchError | None = None


class Counters(msgspec.Struct):
    """The meta rows that every write changes."""

    update_seq: int
    doc_count: int
    deleted_count: int
    added: int = 0
    """Bytes of content that were stored."""


def read_meta(connection: sqlite3.Connection) -> dict[str, str | int]:
    """All meta rows."""
    return dict(connection.execute("SELECT name, value FROM meta"))


def apply_edits(
    connection: sqlite3.Connection, edits: Sequence[Edit], *, new_edits: bool, validation: Validation
) -> list[Written]:
    """Write the edits in order; one outcome an edit. `new_edits=False`: replicated edits that name
    themselves.
    """
    meta = read_meta(connection)
    counters = counters_of(meta)
    limit = int(meta["revs_limit"])
    documents: dict[str, _Document] = {}
    written = []
    for edit in edits:
        document = documents.get(edit.id)
        if document is None:
            document = documents[edit.id] = _Document(connection, edit.id)
        try:
            rev = _apply(document, edit, connection, counters, validation, new_edits=new_edits)
            written.append(Written(edit.id, str(rev)))
        except _OF_ONE_EDIT as failure:
            written.append(Written(edit.id, None, failure))
    for document in documents.values():
        document.write(counters, limit)
    save_counters(connection, counters)
    return written


def counters_of(meta: Mapping[str, str | int]) -> Counters:
    """The counters among the meta rows."""
    return Counters(int(meta["update_seq"]), int(meta["doc_count"]), int(meta["deleted_count"]))


def save_counters(connection: sqlite3.Connection, counters: Counters) -> None:
    """Write the counters back."""
    connection.executemany(
        "UPDATE meta SET value = ? WHERE name = ?",
        [
            (counters.update_seq, "update_seq"),
            (counters.doc_count, "doc_count"),
            (counters.deleted_count, "deleted_count"),
        ],
    )
    # Not as a whole: what was freed meanwhile is subtracted by triggers.
    connection.execute("UPDATE meta SET value = value + ? WHERE name = 'data_size'", (counters.added,))


class _Document:
    """A document that a batch writes to: its tree as the batch has it so far, written once at the end.

    One batch may bring thousands of branches of one document. If each of them decoded, copied, sorted and
    encoded the tree, the writer, and with it every other client, would wait for minutes.
    """

    def __init__(self, connection: sqlite3.Connection, doc_id: str) -> None:
        self._connection = connection
        self._id = doc_id
        self._row: tuple[int, int, bytes] | None = connection.execute(
            "SELECT doc, deleted, tree FROM docs WHERE id = ?", (doc_id,)
        ).fetchone()
        self.tree: dict[Rev, Node] = {} if self._row is None else dict(revtree.decode_tree(self._row[2]))
        self._seq: int | None = None
        """Of its last change in this batch; None: nothing that a feed shows has changed."""

    def add(self, path: Sequence[Rev], counters: Counters, *, deleted: bool, body: int | None) -> None:
        """A new revision: a change, with a sequence of its own."""
        revtree.add_path(self.tree, path, deleted=deleted, body=body)
        counters.update_seq += 1
        self._seq = counters.update_seq

    def graft(self, path: Sequence[Rev], counters: Counters) -> None:
        """A known revision may still bring ancestors that a shorter path had left out.

        Where one of them was a leaf until now, the document has a leaf less and may have another winner: a
        change like any other. Other ancestors are nothing that a feed shows: nobody needs to hear of them.
        """
        ends_leaf = any(rev in self.tree and not self.tree[rev].superseded for rev in path[1:])
        revtree.add_path(self.tree, path)
        if ends_leaf:
            counters.update_seq += 1
            self._seq = counters.update_seq

    def write(self, counters: Counters, revs_limit: int) -> None:
        """Write what has changed of the row."""
        if not self.tree:
            return
        tree = _stemmed(self._connection, self.tree, revs_limit)
        if self._seq is not None:
            put_doc(self._connection, self._id, self._row, tree, counters, seq=self._seq)
        elif self._row is not None and (stored := revtree.encode_tree(tree)) != self._row[2]:
            self._connection.execute("UPDATE docs SET tree = ? WHERE id = ?", (stored, self._id))


def _apply(
    document: _Document,
    edit: Edit,
    connection: sqlite3.Connection,
    counters: Counters,
    validation: Validation,
    *,
    new_edits: bool,
) -> Rev:
    path = interactive_path(document.tree, edit) if new_edits else edit.path
    rev = path[0]
    known = document.tree.get(rev)
    if known is not None and known.body is not None:
        document.graft(path, counters)
        return rev
    validation.check(edit, path, document.tree)
    attachments = _keep_attachments(
        connection, edit.attachments, document.tree, path, counters, replicated=not new_edits
    )
    body = connection.execute(
        "INSERT INTO bodies (json, attachments) VALUES (?, ?)", (edit.body, encode_attachments(attachments))
    ).lastrowid
    counters.added += len(edit.body)
    document.add(path, counters, deleted=edit.deleted, body=body)
    return rev


def _stemmed(connection: sqlite3.Connection, tree: RevTree, revs_limit: int) -> RevTree:
    """The tree kept to its limit; the content of what is dropped would be found by nobody, and goes too."""
    stemmed = revtree.stem(tree, revs_limit)
    if len(stemmed) < len(tree):
        dropped = [(node.body,) for rev, node in tree.items() if rev not in stemmed and node.body is not None]
        connection.executemany("DELETE FROM bodies WHERE body = ?", dropped)
    return stemmed


def put_doc(
    connection: sqlite3.Connection,
    doc_id: str,
    row: tuple[int, int, bytes] | None,
    tree: RevTree,
    counters: Counters,
    *,
    seq: int,
) -> None:
    """Write the document's row at sequence `seq`. `row`: what it was, as (doc, deleted, tree)."""
    winner = revtree.winner(tree)
    values = (
        seq,
        str(winner.rev),
        winner.body,
        winner.deleted,
        encode_leaves(tree),
        revtree.encode_tree(tree),
        doc_id,
    )
    if row is None:
        connection.execute(
            "INSERT INTO docs (seq, rev, body, deleted, leaves, tree, id) VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )
    else:
        connection.execute(
            "UPDATE docs SET seq = ?, rev = ?, body = ?, deleted = ?, leaves = ?, tree = ? WHERE id = ?",
            values,
        )
    was_live = row is not None and not row[1]
    was_deleted = row is not None and bool(row[1])
    counters.doc_count += (not winner.deleted) - was_live
    counters.deleted_count += winner.deleted - was_deleted


def encode_leaves(tree: RevTree) -> bytes:
    """The leaves as a `_changes` row shows them, winner first."""
    return msgspec.json.encode([{"rev": str(leaf.rev)} for leaf in revtree.leaves(tree)])


def _keep_attachments(
    connection: sqlite3.Connection,
    sent: Mapping[str, Attachment],
    tree: RevTree,
    path: Sequence[Rev],
    counters: Counters,
    *,
    replicated: bool,
) -> dict[str, KeptAttachment]:
    kept: dict[str, KeptAttachment] = {}
    for name, attachment in sent.items():
        if attachment.data is None:
            kept[name] = _of_ancestor(connection, name, attachment, tree, path)
            continue
        kept_anew = connection.execute(
            "INSERT OR IGNORE INTO attachments VALUES (?, ?)", (attachment.digest, attachment.data)
        ).rowcount
        counters.added += len(attachment.data) if kept_anew else 0
        sent_pos = attachment.revpos or 0
        revpos = sent_pos if replicated and 0 < sent_pos <= path[0].pos else path[0].pos
        kept[name] = KeptAttachment(
            attachment.content_type,
            revpos,
            attachment.digest,
            attachment.length,
            attachment.encoding,
            None if attachment.encoding is None else len(attachment.data),
        )
    return kept


def missing_stub(connection: sqlite3.Connection, edit: Edit) -> MissingStub | None:
    """Why a replicated edit could not be written now, if one of its stubs leads nowhere. Only reads."""
    row = connection.execute("SELECT tree FROM docs WHERE id = ?", (edit.id,)).fetchone()
    tree = revtree.EMPTY if row is None else revtree.decode_tree(row[0])
    known = tree.get(edit.path[0])
    if known is not None and known.body is not None:
        return None
    for name, attachment in edit.attachments.items():
        if attachment.data is None:
            try:
                _of_ancestor(connection, name, attachment, tree, edit.path)
            except MissingStub as failure:
                return failure
    return None


def _of_ancestor(
    connection: sqlite3.Connection, name: str, stub: Attachment, tree: RevTree, path: Sequence[Rev]
) -> KeptAttachment:
    for ancestor in path[1:]:
        node = tree.get(ancestor)
        if node is None or node.body is None:
            continue
        (stored,) = connection.execute(
            "SELECT attachments FROM bodies WHERE body = ?", (node.body,)
        ).fetchone()
        found = decode_attachments(stored).get(name)
        if found is not None and stub.digest in ("", found.digest):
            return found
    raise MissingStub(f"attachment {name!r} was sent as a stub, and no ancestor here has its data")

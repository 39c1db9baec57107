"""Documents as queries see them: the winning revision as one JSON object, `_id` and `_rev` included."""

import sqlite3
from typing import Any

import msgspec

from replication import revtree
from replication.store.bodies import KeptAttachment, Revision, decode_attachments, document_json, stub_member
from replication.values import Rev

_decode = msgspec.json.Decoder(dict[str, Any]).decode

COLUMNS = "d.doc, d.id, d.seq, d.rev, d.deleted, b.json, b.attachments"
"""What `Winner` is made of, of `docs d JOIN bodies b ON b.body = d.body`."""


class Winner(msgspec.Struct, frozen=True):
    """A document's winning revision as stored."""

    doc: int
    id: str
    seq: int
    rev: str
    deleted: bool
    body: bytes
    attachments: dict[str, KeptAttachment]

    @classmethod
    def of(cls, row: tuple[int, str, int, str, int, bytes, bytes | None]) -> "Winner":
        """From a row of COLUMNS."""
        doc, doc_id, seq, rev, deleted, body, attachments = row
        return cls(doc, doc_id, seq, rev, bool(deleted), body, decode_attachments(attachments))

    def members(self) -> dict[str, Any]:
        """The protocol's members beside `_id` and `_rev`: attachments as stubs."""
        return {"_attachments": stubs(self.attachments)} if self.attachments else {}

    def value(self, members: dict[str, Any]) -> dict[str, Any]:
        """The document decoded, with the given members."""
        front: dict[str, Any] = {"_id": self.id, "_rev": self.rev}
        if self.deleted:
            front["_deleted"] = True
        return {**front, **members, **_decode(self.body)}

    def json(self, members: dict[str, Any]) -> bytes:
        """The same as JSON, with the body's bytes as they are stored."""
        revision = Revision(self.id, Rev.parse(self.rev), self.deleted, self.body, ())
        return document_json(revision, members)


def stubs(attachments: dict[str, KeptAttachment]) -> dict[str, Any]:
    """`_attachments` without their data."""
    return {name: stub_member(kept) for name, kept in attachments.items()}


def read_conflicts(connection: sqlite3.Connection, doc: int) -> list[str]:
    """The live leaves of a document beside the winner."""
    (tree,) = connection.execute("SELECT tree FROM docs WHERE doc = ?", (doc,)).fetchone()
    return [str(leaf.rev) for leaf in revtree.leaves(revtree.decode_tree(tree))[1:] if not leaf.deleted]

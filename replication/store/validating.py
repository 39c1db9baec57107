"""`validate_doc_update`: design documents' own word on what may be written, within the write's transaction.

Every such function of the database is asked about every new revision of every document, whoever writes it
and however it came; design documents and `_local` ones are exempt, as in CouchDB. A function sees the new
document, the newest of its ancestors that has content here (null for a new document, and for one that is
written anew after its deletion), who writes, and the security object.

The ancestor need not be the revision right before: a tablet that edits twice offline sends its leaf alone. If
that counted as new, a rule about what may be changed could be passed by naming a revision in between.

It runs on the writer's thread: what it was told of the old revision is true when the new one is stored. The
price is that other writers wait for it; `replication.javascript` limits for how long, and `runaways` how
often.
"""

import functools
import sqlite3
from collections.abc import Sequence

import msgspec

from replication import revtree
from replication.edits import Author, Edit
from replication.javascript.sandbox import sandbox_of
from replication.revtree import RevTree
from replication.store.bodies import decode_attachments, revisions_member, stub_member
from replication.store.properties import read_security
from replication.store.runaways import Runaways
from replication.values import Rev

FUNCTION = "validate_doc_update"

_DESIGNS = """
SELECT b.json FROM docs d JOIN bodies b ON b.body = d.body
WHERE d.id >= '_design/' AND d.id < '_design0' AND NOT d.deleted ORDER BY d.id
"""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Validation:
    """The functions of a database at the beginning of a transaction, asked in the name of one author."""

    def __init__(
        self, connection: sqlite3.Connection, database: str, author: Author, runaways: Runaways
    ) -> None:
        self._connection = connection
        self._runaways = runaways
        # Most design documents have none: looked for as text before anything is decoded.
        self._designs = [
            design
            for (design,) in connection.execute(_DESIGNS)
            if FUNCTION.encode() in design and FUNCTION in _members.decode(design)
        ]
        if self._designs:
            self._user = _encode({"db": database, "name": author.name, "roles": author.roles})
            self._security = _encode(read_security(connection))

    def check(self, edit: Edit, path: Sequence[Rev], tree: RevTree) -> None:
        """Raises Forbidden or Unauthorized as a function throws them, FunctionFailed, NotImplementedHere;
        Unavailable when too much time was spent already.
        """
        if not self._designs or edit.id.startswith("_design/"):
            return
        after = _document(edit.id, edit.path, edit.body, deleted=edit.deleted, attachments=_sent(edit))
        before = self._before(edit, path, tree)
        for design in self._designs:
            told = (after, before, self._user, self._security)
            validate = functools.partial(_validate, design, *told)
            self._runaways.run(validate, (design, *told))

    def _before(self, edit: Edit, path: Sequence[Rev], tree: RevTree) -> bytes:
        # An edit that names no revision starts anew, though its path goes on from the deletion.
        ancestry = revtree.ancestry(revtree.merge(tree, path)[0], path[0])[1:] if edit.path else []
        for generations, rev in enumerate(ancestry):
            node = tree.get(rev)
            if node is None or node.body is None:
                continue
            json, stored = self._connection.execute(
                "SELECT json, attachments FROM bodies WHERE body = ?", (node.body,)
            ).fetchone()
            stubs = {name: stub_member(kept) for name, kept in decode_attachments(stored).items()}
            return _document(edit.id, ancestry[generations:], json, deleted=node.deleted, attachments=stubs)
        return b"null"


def _validate(design: bytes, after: bytes, before: bytes, user: bytes, security: bytes) -> None:
    sandbox_of(design).validate(after, before, user, security)


def _sent(edit: Edit) -> dict[str, dict[str, object]]:
    return {
        name: {
            "content_type": attachment.content_type,
            "revpos": attachment.revpos or 0,
            "digest": attachment.digest,
            "length": attachment.length,
            "stub": True,
        }
        for name, attachment in edit.attachments.items()
    }


def _document(
    doc_id: str,
    path: Sequence[Rev],
    body: bytes,
    *,
    deleted: bool,
    attachments: dict[str, dict[str, object]],
) -> bytes:
    head: dict[str, object] = {"_id": doc_id}
    if path:
        head |= {"_rev": str(path[0]), "_revisions": revisions_member(path)}
    if deleted:
        head["_deleted"] = True
    if attachments:
        head["_attachments"] = attachments
    front = _encode(head)
    return front[:-1] + (b"}" if body == b"{}" else b"," + body[1:])

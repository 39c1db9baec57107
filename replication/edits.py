"""Deciding one edit: what a new revision is called, and whether it may be made.

Two ways lead to a new revision. A *replicated* edit (`new_edits=false`) brings its own name and ancestors
and is never refused for a conflict: it becomes a branch. An *interactive* edit names the leaf it is based
on and gets a name here; the same edit of the same parent always gets the same name, so that two replicas
that apply it agree.

    tree            edit's base          outcome
    ------------    -----------------    -----------------------------------
    none            none                 1-…
    none            some revision        conflict
    only deleted    none                 continues the winning tombstone; a further deletion is a conflict
    only deleted    any revision         conflict
    a live leaf     none                 conflict
    a live leaf     a leaf               extends that leaf
    a live leaf     not a leaf           conflict
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from replication import revtree
from replication.errors import Conflict
from replication.revtree import RevTree
from replication.values import Rev


class Attachment(msgspec.Struct, frozen=True):
    """An attachment as a document brings it: `data` decoded, or None for a stub of what the target has.

    The digest of a stub may be empty: then its name alone says which attachment is meant. `data` and `digest`
    are of the attachment as it is kept; `encoding` (`gzip`) says that it is packed, `length` is always that
    of the content.
    """

    content_type: str
    digest: str
    length: int
    revpos: int | None = None
    data: bytes | None = None
    encoding: str | None = None


class Author(msgspec.Struct, frozen=True):
    """Who writes, as functions of design documents are told it (`userCtx`)."""

    name: str | None
    roles: tuple[str, ...] = ()


OWNER = Author(None, ("_admin",))
"""This program itself."""


class Edit(msgspec.Struct, frozen=True):
    """One document to write. `body` is its JSON object without the members that begin with an underscore.

    `path` holds the revision and its ancestors, newest first, for a replicated edit. For an interactive one
    it holds the base revision, or nothing for a new document.
    """

    id: str
    path: tuple[Rev, ...]
    body: bytes
    deleted: bool = False
    attachments: Mapping[str, Attachment] = {}


def interactive_path(tree: RevTree, edit: Edit) -> Sequence[Rev]:
    """The path of the revision that an interactive edit makes, newest first. Raises Conflict."""
    base = _base(tree, edit)
    rev = Rev(base.pos + 1 if base else 1, revision_id(edit, base))
    return [rev, *(revtree.ancestry(tree, base) if base else ())]


def _base(tree: RevTree, edit: Edit) -> Rev | None:
    if not tree:
        if edit.path:
            raise Conflict
        return None
    leaves = revtree.leaves(tree)
    winner = leaves[0]
    if winner.deleted:
        if edit.path or edit.deleted:
            raise Conflict
        return winner.rev
    if edit.path and edit.path[0] in {leaf.rev for leaf in leaves}:
        return edit.path[0]
    raise Conflict


def revision_id(edit: Edit, base: Rev | None) -> str:
    """32 hex digits, a function of the edit and what it is based on, and of nothing else: not of the blanks
    and escapes that one client writes and another does not.
    """
    attachments: list[Any] = sorted((name, a.digest, a.content_type) for name, a in edit.attachments.items())
    named = msgspec.json.encode([edit.deleted, None if base is None else str(base), attachments])
    content = msgspec.json.encode(msgspec.json.decode(edit.body))
    return hashlib.md5(named + content, usedforsecurity=False).hexdigest()

"""The revision tree: which edits of a document are known, and which of them is the winner.

Two tablets that edit `2-b` offline both make a third revision. Replication brings both, in any order, any
number of times, and every replica must end with the same tree and show the same winner without talking to
the others:

    1-a ── 2-b ─┬─ 3-c      leaves: 3-c, 3-d (a conflict)
                └─ 3-d      winner: 3-d, the greater id at the same position

A replicated edit comes as a *path*: its revision and the ids of its ancestors, newest first. Merging a path
adds the nodes and edges that were missing, so a merge is a set union: order, repetition and batching do not
matter. That must hold for paths that contradict each other too (two parents for one revision, which only a
broken client sends): the greater parent is kept, and whatever any path called an ancestor is no leaf.

A tree is kept to `revs_limit` generations by *stemming*: ancestors further than that from every leaf are
dropped, and the oldest kept node becomes a root. A later path that still knows the dropped part is grafted
where it meets.

Trees are values: nothing here changes its argument, `add_path` excepted.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import msgspec

from replication.values import Rev


class Node(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One known revision. `body` is where the store keeps its content; None = never seen."""

    pos: int
    id: str
    parent: str | None
    deleted: bool = False
    body: int | None = None
    superseded: bool = False
    """Whether some path named it as an ancestor; the others are the leaves."""

    @property
    def rev(self) -> Rev:
        return Rev(self.pos, self.id)

    @property
    def parent_rev(self) -> Rev | None:
        return None if self.parent is None else Rev(self.pos - 1, self.parent)


RevTree = Mapping[Rev, Node]
EMPTY: RevTree = {}


class Merged(Enum):
    """What a merge did; the caller decides what that means (a new branch is a conflict to some)."""

    NEW_LEAF = "the path extends a leaf, or starts the tree"
    NEW_BRANCH = "the path starts a branch beside the leaves"
    KNOWN = "the revision was known, as a leaf or as an ancestor of one"


def merge(
    tree: RevTree, path: Sequence[Rev], *, deleted: bool = False, body: int | None = None
) -> tuple[RevTree, Merged]:
    """Add the revision `path[0]` with its ancestors `path[1:]` (newest first) to the tree.

    The content (`deleted`, `body`) belongs to `path[0]` and is taken only where the tree has none for it yet.
    """
    grown = dict(tree)
    return grown, add_path(grown, path, deleted=deleted, body=body)


def add_path(
    grown: dict[Rev, Node], path: Sequence[Rev], *, deleted: bool = False, body: int | None = None
) -> Merged:
    """`merge` into a tree that is being built: a batch with thousands of branches of one document would copy
    it as often.
    """
    rev = path[0]
    known = rev in grown
    extends = not grown or any(ancestor in grown and not grown[ancestor].superseded for ancestor in path[1:])
    for child, parent in zip(path, [*path[1:], None], strict=True):
        node = grown.get(child) or Node(child.pos, child.id, None)
        grown[child] = _joined(node, None if parent is None else parent.id, ancestor=child != rev)
    if grown[rev].body is None:
        grown[rev] = msgspec.structs.replace(grown[rev], deleted=deleted, body=body)
    if known:
        return Merged.KNOWN
    return Merged.NEW_LEAF if extends else Merged.NEW_BRANCH


def _joined(node: Node, parent: str | None, *, ancestor: bool) -> Node:
    """The node with what one more path says of it. No parent: a root, or a path that knows less."""
    if parent is None or (node.parent is not None and node.parent >= parent):
        parent = node.parent
    superseded = node.superseded or ancestor
    if parent == node.parent and superseded == node.superseded:
        return node
    return msgspec.structs.replace(node, parent=parent, superseded=superseded)


def leaves(tree: RevTree) -> list[Node]:
    """All leaves, winner first, then by the same order: live before deleted, then the greater revision."""
    found = [node for node in tree.values() if not node.superseded]
    return sorted(found, key=lambda node: (not node.deleted, node.pos, node.id.encode()), reverse=True)


def winner(tree: RevTree) -> Node:
    """The revision shown when none is asked for: the same on every replica. The tree must not be empty."""
    return leaves(tree)[0]


def ancestry(tree: RevTree, rev: Rev) -> list[Rev]:
    """`rev` and its known ancestors, newest first; empty when `rev` is not in the tree."""
    found: list[Rev] = []
    node = tree.get(rev)
    while node is not None:
        found.append(node.rev)
        parent = node.parent_rev
        node = None if parent is None else tree.get(parent)
    return found


def descendants(tree: RevTree, rev: Rev) -> list[Node]:
    """The leaves that descend from `rev`, or are it; winner first."""
    return [leaf for leaf in leaves(tree) if rev in ancestry(tree, leaf.rev)]


def stem(tree: RevTree, limit: int) -> RevTree:
    """The tree with at most `limit` generations counted from each leaf. Leaves always survive.

    A tree of no more revisions than that stays whole: what contradicting paths have cut off from every leaf
    is still known to be no leaf, should it come again.
    """
    if len(tree) <= limit:
        return tree
    kept: dict[Rev, int] = {}
    for leaf in leaves(tree):
        left, node = limit, leaf
        # Branches share their ancestors: where another leaf keeps as many generations, its walk was this one.
        while left > kept.get(node.rev, 0):
            kept[node.rev] = left
            parent = node.parent_rev
            if parent is None or parent not in tree:
                break
            left, node = left - 1, tree[parent]
    if len(kept) == len(tree):
        return tree
    return {
        rev: msgspec.structs.replace(node, parent=None)
        if node.parent_rev is not None and node.parent_rev not in kept
        else node
        for rev, node in tree.items()
        if rev in kept
    }


def without_leaves(tree: RevTree, revs: Iterable[Rev]) -> tuple[RevTree, list[Rev]]:
    """The tree after a purge, and those of `revs` that were leaves of it: only leaves can be purged.

    Ancestors go with the last leaf that descends from them; what another leaf stands on stays.
    """
    purged = [rev for rev in dict.fromkeys(revs) if rev in tree and not tree[rev].superseded]
    if not purged:
        return tree, []
    left = {leaf.rev for leaf in leaves(tree)}.difference(purged)
    kept = {rev for leaf in left for rev in ancestry(tree, leaf)}
    return {rev: node for rev, node in tree.items() if rev in kept}, purged


def missing(tree: RevTree, revs: Iterable[Rev]) -> list[Rev]:
    """Those of `revs` that the tree does not know."""
    return [rev for rev in revs if rev not in tree]


def possible_ancestors(tree: RevTree, absent: Sequence[Rev]) -> list[Rev]:
    """Leaves that may be ancestors of a revision in `absent`: a source may send its delta against them."""
    highest = max((rev.pos for rev in absent), default=0)
    return [leaf.rev for leaf in leaves(tree) if leaf.pos < highest]


_nodes = msgspec.msgpack.Decoder(list[Node])


def encode_tree(tree: RevTree) -> bytes:
    """The tree as the store keeps it."""
    return msgspec.msgpack.encode(list(tree.values()))


def decode_tree(stored: bytes) -> RevTree:
    """The inverse of `encode_tree`."""
    return {node.rev: node for node in _nodes.decode(stored)}

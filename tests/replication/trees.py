"""Histories of edits for the properties of the revision tree."""

import zlib
from collections.abc import Iterable, Sequence

import msgspec
from hypothesis import strategies as st

from replication import revtree
from replication.revtree import RevTree
from replication.values import Rev


class Push(msgspec.Struct, frozen=True):
    """One replicated edit: the revision and its ancestors, newest first, with its content."""

    path: tuple[Rev, ...]
    deleted: bool
    body: int


def merged(pushes: Iterable[Push], tree: RevTree = revtree.EMPTY) -> RevTree:
    """The tree after these edits, in this order."""
    for push in pushes:
        tree, _ = revtree.merge(tree, push.path, deleted=push.deleted, body=push.body)
    return tree


def path(*texts: str) -> tuple[Rev, ...]:
    """`path("2-b", "1-a")`."""
    return tuple(Rev.parse(text) for text in texts)


def push(*texts: str, deleted: bool = False) -> Push:
    """An edit by its path."""
    revs = path(*texts)
    return Push(revs, deleted, _body(revs[0]))


def _body(rev: Rev) -> int:
    return zlib.crc32(str(rev).encode())


@st.composite
def histories(draw: st.DrawFn) -> list[Push]:
    """What honest replicas send of one document: every edit has one parent, paths may be cut short."""
    revs: list[Rev] = []
    parents: dict[Rev, Rev | None] = {}
    for age in range(draw(st.integers(1, 12))):
        parent = draw(st.none() | st.sampled_from(revs)) if revs else None
        digits = draw(st.text("0123456789abcdef", min_size=1, max_size=2))
        rev = Rev(1 if parent is None else parent.pos + 1, f"{digits}{age:x}")
        revs.append(rev)
        parents[rev] = parent
    pushes = []
    for rev in revs:
        line: list[Rev] = []
        ancestor: Rev | None = rev
        while ancestor is not None:
            line.append(ancestor)
            ancestor = parents[ancestor]
        known = draw(st.integers(1, len(line)))
        # A revision's name stands for its content, and so for whether it is a deletion.
        pushes.append(Push(tuple(line[:known]), _body(rev) % 3 == 0, _body(rev)))
    return pushes


@st.composite
def contradictions(draw: st.DrawFn) -> list[Push]:
    """Paths of broken clients: the same revision with one parent here and another there."""
    pushes = []
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(1, 4))
        ids: Sequence[str] = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=start))
        revs = Rev.path(start, ids)
        pushes.append(Push(revs, deleted=_body(revs[0]) % 3 == 0, body=_body(revs[0])))
    return pushes

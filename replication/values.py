"""The nouns of the protocol as values: revisions, changes, documents read from a feed.

A revision `3-9ab…` is a position (how many edits deep) and an id. Revisions order by position, then by id
*bytewise*: that order picks the deterministic winner, so it must equal CouchDB's and PouchDB's.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import msgspec

_LONGEST_POSITION = 15
"""Digits: positions stay exact in every client's numbers and fit every encoding of the tree."""
_LONGEST_ID = 128
"""Characters: four times what CouchDB and PouchDB make."""
_LONGEST_PATH = 10_000
"""Ten times what they keep of a document's history."""


class Rev(NamedTuple):
    """One revision. Tuples compare as the protocol wants: by position first, then by id."""

    pos: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`"3-9ab…"` → Rev. Raises ValueError when it is no revision."""
        pos, dash, rev_id = text.partition("-")
        digits = pos.isascii() and pos.isdigit() and len(pos) <= _LONGEST_POSITION
        if not (dash and digits and 0 < len(rev_id) <= _LONGEST_ID) or int(pos) < 1:
            raise ValueError(f"Invalid rev format: {text[:80]!r}")
        return cls(int(pos), rev_id)

    @classmethod
    def path(cls, start: int, ids: Sequence[str]) -> tuple[Self, ...]:
        """The path that `_revisions` tells: `ids` newest first, the first of them at position `start`.

        Raises ValueError when they do not make one.
        """
        if not 0 < len(ids) <= _LONGEST_PATH or not len(ids) <= start < 10**_LONGEST_POSITION:
            raise ValueError(f"_revisions has {len(ids)} ids, which do not fit its start")
        if not all(0 < len(rev_id) <= _LONGEST_ID for rev_id in ids):
            raise ValueError("_revisions holds an id that is empty or too long")
        return tuple(cls(start - age, rev_id) for age, rev_id in enumerate(ids))

    def __str__(self) -> str:
        return f"{self.pos}-{self.id}"


def sequence_text(sequence: Any) -> str:
    """A position as `since` takes it: CouchDB's are texts, older servers' numbers or arrays."""
    return sequence if isinstance(sequence, str) else msgspec.json.encode(sequence).decode()


class Change(msgspec.Struct, frozen=True):
    """One row of a `_changes` feed with `style=all_docs`. `seq` is opaque; `revs` are all leaves, winner
    first.
    """

    seq: str
    id: str
    revs: tuple[str, ...]
    deleted: bool = False


class ChangesPage(msgspec.Struct, frozen=True):
    """What one read of a feed gave. `pending` counts the changes after `last_seq`; None where unknown."""

    changes: tuple[Change, ...]
    last_seq: str
    pending: int | None = None


class Leaf(msgspec.Struct, frozen=True):
    """One leaf revision of a document. `body` is the document's JSON, `_id` and `_rev` included."""

    id: str
    rev: str
    deleted: bool
    body: bytes

"""The nouns of the protocol as values: revisions, changes, documents read from a feed.

A revision `3-9ab…` is a position (how many edits deep) and an id. Revisions order by position, then by id
*bytewise*: that order picks the deterministic winner, so it must equal CouchDB's and PouchDB's.
"""

from typing import NamedTuple, Self

import msgspec


class Rev(NamedTuple):
    """One revision. Tuples compare as the protocol wants: by position first, then by id."""

    pos: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`"3-9ab…"` → Rev. Raises ValueError when it is no revision."""
        pos, dash, rev_id = text.partition("-")
        if not (dash and rev_id and pos.isascii() and pos.isdigit()) or int(pos) < 1:
            raise ValueError(f"Invalid rev format: {text!r}")
        return cls(int(pos), rev_id)

    def __str__(self) -> str:
        return f"{self.pos}-{self.id}"


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
    """One leaf revision of a document. `body` is the document's JSON as stored (`_id` and `_rev` included).
    """

    id: str
    rev: str
    deleted: bool
    body: bytes

"""The answers of CouchDB that `client` reads, as they come: what is not named here is passed over."""

from typing import Any

import msgspec

from replication.values import Change, sequence_text


class FeedRev(msgspec.Struct):
    """A leaf of a row of `_changes`."""

    rev: str


class FeedRow(msgspec.Struct):
    """A row of `_changes`."""

    seq: Any
    id: str
    changes: list[FeedRev]
    deleted: bool = False


class Feed(msgspec.Struct):
    """`_changes`."""

    results: list[FeedRow]
    last_seq: Any
    pending: int | None = None


class RowFailure(msgspec.Struct):
    """Why a row is none."""

    error: str = ""
    reason: str = ""


class Ok(msgspec.Struct):
    """A revision of `_bulk_get`, or why it is not given."""

    ok: msgspec.Raw = msgspec.Raw()
    """Empty where the row is an error: msgspec knows no optional Raw."""
    error: RowFailure | None = None


class Update(msgspec.Struct):
    """A row of `_db_updates`."""

    db_name: str


class ToldUpdates(msgspec.Struct):
    """`_db_updates`."""

    results: list[Update]
    last_seq: Any


class BulkGetRow(msgspec.Struct):
    """What is given of one document."""

    id: str
    docs: list[Ok]


class BulkGet(msgspec.Struct):
    """`_bulk_get`."""

    results: list[BulkGetRow]


class Identity(msgspec.Struct):
    """Which revision a document is."""

    id: str = msgspec.field(name="_id")
    rev: str = msgspec.field(name="_rev")
    deleted: bool = msgspec.field(default=False, name="_deleted")


def changes_in(feed: Feed) -> tuple[Change, ...]:
    """The changes that a feed tells, in its order."""
    return tuple(
        Change(sequence_text(row.seq), row.id, tuple(leaf.rev for leaf in row.changes), row.deleted)
        for row in feed.results
    )

"""Putting something into the outbox, in the transaction of its cause.

Two ways, by what the effect is:

- **once**: an event that happened (a completed session). The key is the event's; whoever tells it again
  changes nothing.
- **again**: a state that has to be brought about (`publication` of a document). The key is the document's;
  each change makes the one row pending again with a new ticket, and whoever delivers it brings about the
  state of *that* moment. A delivery that began under an older ticket does not end the row.

| what happens | outcome |
|---|---|
| the transaction is rolled back | no row |
| the cause is told twice | one row; `again`: pending once more, delivered once more, to no effect |
| the process dies after the commit | the relay finds the row |
| asked for again while a worker delivers it | the row stays due after that delivery |
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ARRAY, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from reporting.tables import outbox
from reporting.tables.base import Timestamp

_encode = msgspec.json.Encoder(order="deterministic").encode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be done. `payload` is JSON, and holds no secret and no contact: ids to look them up by."""

    kind: str
    key: str
    payload: Mapping[str, Any] = {}
    study: str | None = None
    site: str | None = None
    not_before: datetime | None = None


def enter_once(entries: Iterable[Entry]) -> Insert:
    """Statement: insert those whose key is new. At least one entry."""
    # In one order here too: who inserts a key waits for another transaction that is inserting it.
    ordered = sorted(entries, key=lambda entry: (entry.kind, entry.key))
    return _insert(ordered).on_conflict_do_nothing(index_elements=["kind", "key"])


def enter_again(entries: Iterable[Entry]) -> Insert:
    """Statement: make each pending, from now on, whatever became of it before. At least one entry."""
    # One statement may not touch a row twice: the last entry of a key counts.
    distinct = {(entry.kind, entry.key): entry for entry in entries}
    # In one order, so that two transactions that ask for the same never wait for each other in a circle.
    inserted = _insert(distinct[key] for key in sorted(distinct))
    new = inserted.excluded
    return inserted.on_conflict_do_update(
        index_elements=["kind", "key"],
        set_={
            "ticket": outbox.c.ticket + 1,
            "study": new.study,
            "site": new.site,
            "payload": new.payload,
            "payload_sha256": new.payload_sha256,
            "state": "pending",
            "attempts": 0,
            "next_attempt_at": new.next_attempt_at,
            "error": None,
            "ended_at": None,
        },
    )


def _insert(entries: Iterable[Entry]) -> Insert:
    # Columns as arrays: however many entries there are, a statement has as many parameters (65,535 at most).
    given = list(entries)
    payloads = [_encode(entry.payload) for entry in given]
    columns: Mapping[str, list[Any]] = {
        "kind": [entry.kind for entry in given],
        "key": [entry.key for entry in given],
        "study": [entry.study for entry in given],
        "site": [entry.site for entry in given],
        "payload": [payload.decode() for payload in payloads],
        "sha256": [hashlib.sha256(payload).hexdigest() for payload in payloads],
        "not_before": [entry.not_before for entry in given],
    }
    arrays = (
        literal(values, ARRAY(Timestamp if name == "not_before" else Text))
        for name, values in columns.items()
    )
    rows = func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
    c = rows.c
    wanted = select(
        c.kind,
        c.key,
        c.study,
        c.site,
        cast(c.payload, JSONB),
        func.decode(c.sha256, "hex"),
        func.coalesce(c.not_before, func.now()),
    )
    names = ["kind", "key", "study", "site", "payload", "payload_sha256", "next_attempt_at"]
    return insert(outbox).from_select(names, wanted)

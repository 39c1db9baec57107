"""The ingest log: what arrived when, by which credential, what was refused and what had to be normalised.

The gateway writes it *before* a document is stored, so a document in a site database always has its entry.
The other way round would lose entries: a tablet whose answer was cut off asks for the difference, learns
that nothing is missing, and never sends the document again.

Entries are first receipts: the same revision sent again, or by another device, adds nothing. Only an erasure
request ever removes one.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from sqlalchemy import JSON, Delete, Insert, Text, bindparam, cast, column, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from reporting.documents.text import key_text, without_nul
from reporting.tables import ingest_log

MAX_REASON_CHARACTERS = 1000
"""Reasons quote what was sent, and that may be megabytes."""


class IngestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One revision as it arrived. `rev` is empty where the writer sent none."""

    site: str
    doc_id: str
    rev: str
    outcome: Literal["received", "refused"]
    device: str
    role: str
    credential: str
    request_id: str
    reason: str | None = None
    original: bytes | None = None


def _record_first_receipts() -> Insert:
    # One statement, and one parameter that is made in C: row by row, or as arrays, a push of 500 documents
    # costs several times as much.
    columns = [ingest_log.c[name] for name in IngestEntry.__struct_fields__]
    rows = (
        func.json_to_recordset(cast(bindparam("entries", type_=Text), JSON))
        .table_valued(*(column(each.name, Text) for each in columns))
        .render_derived(with_types=True)
    )
    values = [
        func.decode(rows.c.original, "base64") if each.name == "original" else rows.c[each.name]
        for each in columns
    ]
    statement = insert(ingest_log).from_select([each.name for each in columns], select(*values))
    return statement.on_conflict_do_nothing()


RECORD_FIRST_RECEIPTS: Final = _record_first_receipts()
"""Insert entries unless that (site, id, rev, outcome) is there; run with `entry_parameters`."""


def forget_receipt(site: str, doc_id: str, rev: str) -> Delete:
    """Statement: take the receipt of a revision away, which an erasure has refused."""
    c = ingest_log.c
    named = (c.site == site, c.doc_id == key_text(doc_id), c.rev == key_text(rev))
    return delete(ingest_log).where(*named, c.outcome == "received")


def forget_receipts(site: str, doc_ids: Sequence[str]) -> Delete:
    """Statement: take every receipt of these documents away; a hub's journal may name what comes after it
    and is refused by an erasure.
    """
    c = ingest_log.c
    return delete(ingest_log).where(c.site == site, c.doc_id.in_([key_text(each) for each in doc_ids]))


def entry_parameters(entries: Sequence[IngestEntry]) -> dict[str, str]:
    """For `RECORD_FIRST_RECEIPTS`, in a fixed order so that concurrent pushes cannot deadlock."""
    rows = sorted(map(_row, entries), key=lambda row: (row.site, row.doc_id, row.rev, row.outcome))
    return {"entries": msgspec.json.encode(rows).decode()}


def _row(entry: IngestEntry) -> IngestEntry:
    """The entry as Postgres can hold it."""
    doc_id, rev = key_text(entry.doc_id), key_text(entry.rev)
    reason = None if entry.reason is None else without_nul(entry.reason)[:MAX_REASON_CHARACTERS]
    if (doc_id, rev, reason) == (entry.doc_id, entry.rev, entry.reason):
        return entry
    return msgspec.structs.replace(entry, doc_id=doc_id, rev=rev, reason=reason)

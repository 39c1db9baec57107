"""The ingest log: what arrived when, by which credential, what was refused and what had to be normalised.

The gateway writes it *before* a document is stored, so a document in a site database always has its entry.
The other way round would lose entries: a tablet whose answer was cut off asks for the difference, learns
that nothing is missing, and never sends the document again.

Entries are first receipts: the same revision sent again, or by another device, adds nothing. Only an erasure
request ever removes one.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Insert
from sqlalchemy.dialects.postgresql import insert

from reporting.tables import ingest_log


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


def record_first_receipts() -> Insert:
    """Insert entries unless that (site, id, rev, outcome) is there; run with `entry_parameters`."""
    return insert(ingest_log).on_conflict_do_nothing()


def entry_parameters(entries: Sequence[IngestEntry]) -> list[dict[str, Any]]:
    """Rows for `record_first_receipts`, in a fixed order so that concurrent pushes cannot deadlock."""
    rows = [
        {name: _storable(getattr(entry, name)) for name in IngestEntry.__struct_fields__} for entry in entries
    ]
    return sorted(rows, key=lambda row: (row["site"], row["doc_id"], row["rev"], row["outcome"]))


def _storable(value: Any) -> Any:
    # Postgres text holds no NUL; ids are compared after the same replacement everywhere.
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value

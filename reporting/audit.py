"""Who did what to what, when and why: entries of the append-only `audit_log`.

An entry is written in the transaction of what it tells of. Where that is not in Postgres (a correction is
written into a site database), `source` names it, so that whoever finds the entry missing may write it: the
first one counts.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from sqlalchemy import Insert, null
from sqlalchemy.dialects.postgresql import insert

from reporting.documents.text import without_nul
from reporting.tables import audit_log


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`action` is noun and verb (`quarantine.waive`); `before` and `after` are JSON values."""

    actor: str
    actor_kind: Literal["person", "device", "process"]
    action: str
    entity: str
    entity_id: str
    role: str | None = None
    site: str | None = None
    study: str | None = None
    reason: str | None = None
    before: Any = None
    after: Any = None
    request_id: str | None = None
    address: str | None = None
    source: str | None = None


def record_entry(entry: AuditEntry) -> Insert:
    """Insert the entry, unless one of the same `source` is there."""
    values = {name: value for name, value in _values(entry).items() if value is not None}
    return insert(audit_log).values(values).on_conflict_do_nothing(index_elements=["source"])


def record_entries() -> Insert:
    """Insert entries, none of which has a `source`; run with `entries_parameters`."""
    return insert(audit_log)


def entries_parameters(entries: Iterable[AuditEntry]) -> list[dict[str, Any]]:
    """Rows for `record_entries`."""
    rows = [_values(entry) for entry in entries]
    for row in rows:
        # None would be the JSON value `null`, which is a value.
        row |= {name: null() for name in ("before", "after") if row[name] is None}
    return rows


def _values(entry: AuditEntry) -> dict[str, Any]:
    return {
        name: without_nul(value) if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(entry).items()
    }

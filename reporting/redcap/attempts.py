"""What was tried on a target, and what came of it: appended, never changed. Statements.

    read REDCap, chose an instance ─ allocate      sent ─ import      read what is there now ─ read_back
                                                   sent for a session that is gone or moved ─ withdraw

Values are REDCap's strings, as sent and as found; never a token.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

from reporting.documents.text import without_nul
from reporting.tables import redcap_attempts

LONGEST_ERROR = 2000

_encode = msgspec.json.Encoder(order="deterministic").encode


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried on a row of the ledger. `outcome`: done, or what kind of fault."""

    ledger: int
    entry: int | None
    action: Literal["allocate", "import", "read_back", "withdraw"]
    outcome: str
    http_status: int | None = None
    before: Mapping[str, str] | None = None
    after: Mapping[str, str] | None = None
    payload_sha256: bytes | None = None
    error: str | None = None


def payload_text(values: Mapping[str, str]) -> str:
    """A payload as JSON text: the same for the same values."""
    return _encode(values).decode()


def payload_digest(values: Mapping[str, str]) -> bytes:
    """SHA-256 of `payload_text`; 32 bytes."""
    return hashlib.sha256(_encode(values)).digest()


def record_attempts(attempts: Sequence[Attempt]) -> Insert:
    """Statement: at least one."""
    rows = []
    for each in attempts:
        row = msgspec.structs.asdict(each)
        if each.error is not None:
            row["error"] = without_nul(each.error)[:LONGEST_ERROR]
        rows.append(row)
    return insert(redcap_attempts).values(rows)


def select_attempts(ledger: int, *, limit: int = 200) -> Select[*tuple[Any, ...]]:
    """Statement: of a row of the ledger, newest first: at, entry, action, outcome, http_status, before,
    after, payload_sha256 (hex), error.
    """
    a = redcap_attempts.c
    return (
        select(
            a.at,
            a.entry,
            a.action,
            a.outcome,
            a.http_status,
            a.before,
            a.after,
            func.encode(a.payload_sha256, "hex"),
            a.error,
        )
        .where(a.ledger == ledger)
        .order_by(a.id.desc())
        .limit(limit)
    )

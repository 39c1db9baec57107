"""What was tried on a target, and what came of it: appended, never changed. Statements.

    read REDCap, chose an instance ─ allocate      sent ─ import      read what is there now ─ read_back
                                                   sent for a session that is gone or moved ─ withdraw

Values are REDCap's strings, as sent and as found; never a token.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ARRAY, BigInteger, Integer, Select, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from reporting.documents.text import without_nul
from reporting.tables import redcap_attempts, redcap_ledger

LONGEST_ERROR = 2000

_TYPES: Final[Mapping[str, Any]] = {"ledger": BigInteger, "entry": BigInteger, "http_status": Integer}
_CASTS: Final[Mapping[str, Any]] = {
    "before": lambda text: cast(text, JSONB),
    "after": lambda text: cast(text, JSONB),
    "payload_sha256": lambda text: func.decode(text, "hex"),
}

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
    """Statement: of rows that there still are: one that is erased meanwhile has no history. At least one."""
    # Columns as arrays: one statement, prepared once, however many attempts there are.
    names = Attempt.__struct_fields__
    arrays = [
        literal([_told(name, getattr(each, name)) for each in attempts], ARRAY(_TYPES.get(name, Text)))
        for name in names
    ]
    told = func.unnest(*arrays).table_valued(*names, name="told").render_derived()
    columns = [_CASTS[name](told.c[name]) if name in _CASTS else told.c[name] for name in names]
    of_rows = (
        select(*columns)
        .select_from(told.join(redcap_ledger, redcap_ledger.c.id == told.c.ledger))
        .with_for_update(key_share=True, read=True, of=redcap_ledger)
    )
    return insert(redcap_attempts).from_select(list(names), of_rows)


def _told(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in ("before", "after"):
        return without_nul(payload_text(value))
    if name == "error":
        return without_nul(value)[:LONGEST_ERROR]
    return value.hex() if name == "payload_sha256" else value


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

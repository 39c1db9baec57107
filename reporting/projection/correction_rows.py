"""Corrections and losing revisions → their rows, and what the audit log says of a correction.

Pure. A live leaf that is not the winner is kept with its content, whatever became of it: the union of several
leaves shows one value of each contradiction, and a quarantined leaf shows nothing at all.

| a losing leaf's content | `body` |
|---|---|
| JSON | as stored, numbers as float64, NUL replaced |
| no JSON that a decoder reads (lone surrogates, numbers beyond float64) | NULL |
| larger than 32 MB: what Postgres holds of the shortest elements | NULL |
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from replication.values import Leaf
from reporting.audit import AuditEntry
from reporting.documents.kinds import Correction, ResolvedValue
from reporting.documents.text import key_text, without_nul_deep

# A jsonb array holds 256 MB of elements, and makes 12 bytes of the two in `1,`.
_LARGEST_BODY: Final = 32 * 1024 * 1024

_decode = msgspec.json.Decoder().decode


class CorrectionRow(NamedTuple):
    """`corrections`"""

    site: str
    doc_id: str
    session_id: str
    number: int
    rev: str
    kind: str
    reason: str
    author: str
    made_at: datetime
    body: dict[str, Any]


class LosingRow(NamedTuple):
    """`losing_revisions`"""

    site: str
    doc_id: str
    rev: str
    winner_rev: str
    body: Any


class CorrectionBody(msgspec.Struct):
    """`corrections.body`, by the kind."""

    patch: dict[str, Any] = {}
    base: dict[str, Any] = {}
    values: list[ResolvedValue] = []


_decode_body = msgspec.json.Decoder(CorrectionBody).decode


def correction_row(site: str, rev: str, correction: Correction) -> CorrectionRow:
    """`rev` as rows spell it."""
    return CorrectionRow(
        site=site,
        doc_id=correction.id,
        session_id=correction.session,
        number=correction.number,
        rev=rev,
        kind=correction.kind,
        reason=correction.reason,
        author=correction.author,
        made_at=correction.made_at,
        body=correction_body(correction),
    )


def stored_correction(row: Sequence[Any]) -> Correction:
    """What a row of `corrections` says: doc_id, session_id, number, kind, reason, author, made_at, and `body`
    as text.
    """
    doc_id, session_id, number, kind, reason, author, made_at, body = row
    change = _decode_body(body)
    return Correction(
        id=doc_id,
        session=session_id,
        number=number,
        kind=kind,
        reason=reason,
        author=author,
        made_at=made_at,
        patch=change.patch,
        base=change.base,
        values=change.values,
    )


def correction_body(correction: Correction) -> dict[str, Any]:
    """What it changes, as JSON values."""
    if correction.kind == "patch":
        return {"patch": correction.patch, "base": correction.base}
    values: list[Any] = msgspec.to_builtins(correction.values)
    return {"values": values}


def losing_rows(site: str, doc_id: str, winner_rev: str, leaves: Sequence[Leaf]) -> list[LosingRow]:
    """The live leaves of a document that are not its winner; ids and revisions as rows spell them."""
    live = {key_text(leaf.rev): leaf for leaf in leaves if not leaf.deleted}
    return [
        LosingRow(site, doc_id, rev, winner_rev, _body(leaf.body))
        for rev, leaf in live.items()
        if rev != winner_rev
    ]


def audit_entry(
    site: str,
    rev: str,
    correction: Correction,
    *,
    address: str | None = None,
) -> AuditEntry:
    """What the audit log says of this revision of a correction. API and projector write the same entry, and
    the first one counts; only the API knows the address.
    """
    body = correction_body(correction)
    is_patch = correction.kind == "patch"
    return AuditEntry(
        actor=correction.author,
        actor_kind="person",
        role=correction.role,
        action="quarantine.patch" if is_patch else "conflict.resolve",
        entity="document",
        entity_id=f"session:{correction.session}",
        site=site,
        reason=correction.reason,
        before=body["base"] if is_patch else {each["path"]: each["base"] for each in body["values"]},
        after=body["patch"] if is_patch else {each["path"]: each["value"] for each in body["values"]},
        request_id=correction.request_id,
        address=address,
        source=f"{site}/{correction.id}@{rev}",
    )


def _body(stored: bytes) -> Any:
    if len(stored) > _LARGEST_BODY:
        return None
    try:
        value, _ = without_nul_deep(_decode(stored))
    except (ValueError, RecursionError):
        return None
    return value

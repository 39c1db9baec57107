"""Corrections: what a coordinator says about a session, kept as documents beside it.

`correction:<session>:<n>` is applied at every projection of its session. It is written by the server alone,
and judged as strictly as what tablets write: a wrong one would bend rows at every projection.

| judged | code |
|---|---|
| the id is `correction:<session>:<n>`, with its own `session` and a plain number from 1 | `id_mismatch` |
| a patch has `patch`, `base`, no `values`; a resolution only these | `missing_member` `unexpected_member` |
| a patch says something | `empty` |
| it leaves `_…`, `type`, `schema`, `site` alone: they say which document this is | `not_patchable` |
| it is nested 100 levels at most | `too_deep` |
| a resolution names a path once | `duplicate_path` |
"""

from collections.abc import Iterable
from typing import Final

from reporting.documents.kinds import INT4_MAX, Correction, CorrectionDocument, Invalid
from reporting.documents.patches import MAX_PATCH_DEPTH, depth
from reporting.documents.shape import quote
from reporting.documents.text import key_text

PREFIX: Final = "correction:"

ENVELOPE: Final = frozenset({"type", "schema", "site"})
"""Members that no patch may touch, besides all that begin with an underscore."""


def correction_id(session: str, number: int) -> str:
    """The id of the session's correction with this number; `session` is its id without prefix."""
    return f"{PREFIX}{session}:{number}"


def correction_number(doc_id: str, session: str) -> int | None:
    """The number of a correction of this session; None for any other document."""
    prefix = f"{PREFIX}{session}:"
    digits = doc_id[len(prefix) :] if doc_id.startswith(prefix) else ""
    if not (digits.isascii() and digits.isdigit()) or digits.startswith("0") or len(digits) > 10:
        return None
    number = int(digits)
    return number if number <= INT4_MAX else None


def session_key(doc_id: str) -> str | None:
    """The session that a correction with this id is about, as rows spell the document's id."""
    session, colon, _ = doc_id.removeprefix(PREFIX).rpartition(":")
    return key_text(f"session:{session}") if colon and doc_id.startswith(PREFIX) else None


def read_correction(doc_id: str, document: CorrectionDocument) -> Correction | Invalid:
    """The correction that a document of the right types is."""
    number = correction_number(doc_id, document.session)
    if number is None:
        return Invalid(
            "id_mismatch",
            "$.session",
            f"$.session is {quote(document.session)}, and the id is {quote(doc_id)}:"
            " it has to be `correction:<session>:<number>`, the number from 1 and without leading zeros.",
        )
    invalid = _check_patch(document) if document.kind == "patch" else _check_resolution(document)
    return invalid or Correction(
        id=key_text(doc_id),
        session=key_text(f"session:{document.session}").removeprefix("session:"),
        number=number,
        kind=document.kind,
        reason=document.reason,
        author=document.author,
        made_at=document.made_at,
        role=document.role,
        request_id=document.request_id,
        patch=document.patch or {},
        base=document.base or {},
        values=document.values or (),
    )


def not_patchable(names: Iterable[str]) -> str | None:
    """The first of a patch's members that no patch may touch."""
    return next((name for name in names if name.startswith("_") or name in ENVELOPE), None)


def check_patch(patch: dict[str, object]) -> Invalid | None:
    """What is wrong with a merge patch for a session, whatever it is made against."""
    if not patch:
        return Invalid("empty", "$.patch", "$.patch is empty: it has to change something.")
    name = not_patchable(patch)
    if name is not None:
        where = f"$.patch.{key_text(name)}"
        return Invalid(
            "not_patchable", where, f"{where} says which document this is: a patch may not change it."
        )
    if depth(patch) > MAX_PATCH_DEPTH:
        return Invalid("too_deep", "$.patch", f"$.patch is nested deeper than {MAX_PATCH_DEPTH} levels.")
    return None


def _check_patch(document: CorrectionDocument) -> Invalid | None:
    if document.values is not None:
        return Invalid("unexpected_member", "$.values", "$.values belongs to a resolution, not to a patch.")
    for member, value in (("patch", document.patch), ("base", document.base)):
        if value is None:
            return Invalid("missing_member", f"$.{member}", f"$.{member} is missing: a patch requires it.")
    return check_patch(document.patch or {})


def _check_resolution(document: CorrectionDocument) -> Invalid | None:
    for member, value in (("patch", document.patch), ("base", document.base)):
        if value is not None:
            where = f"$.{member}"
            return Invalid("unexpected_member", where, f"{where} belongs to a patch, not to a resolution.")
    if document.values is None:
        return Invalid("missing_member", "$.values", "$.values is missing: a resolution requires it.")
    seen: set[str] = set()
    for position, resolved in enumerate(document.values):
        if resolved.path in seen:
            where = f"$.values[{position}].path"
            return Invalid(
                "duplicate_path", where, f"{where} is {quote(resolved.path)}, which was named before."
            )
        seen.add(resolved.path)
    return None

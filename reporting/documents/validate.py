"""Is a stored document what its type promises, and if not, exactly what is wrong with it?

Everything an enrolled tablet may send is already stored; here it is judged. A document that fails is
quarantined with the *first* problem found, as a code, a JSON path and a sentence that a person at the site
can act on. Only what rows and scores are made of is judged: members without a name in
`reporting.documents.kinds` are never an error.

| judged, in this order | code |
|---|---|
| readable as JSON (escaped lone surrogates and numbers beyond float64 are not) | `not_json` |
| nested no deeper than a document may be | `too_deep` |
| an object | `wrong_type` |
| `type` is the id's prefix | `type_mismatch` |
| something follows the prefix | `empty` |
| `schema` is one that this version knows, or can upcast | `unknown_schema` `not_upcast` |
| `site` is this database's site | `missing_member` `wrong_site` |
| required members and types | `missing_member` `wrong_type` `unknown_value` |
| ranges and lengths | `out_of_range` `empty` `too_long` |
| times have a zone and a year that a clock can show | `bad_time` `out_of_range` |
| ended is not before started, of session and task runs | `times_out_of_order` |
| (task, run) is unique in the session | `duplicate_task_run` |
| each trial, see `reporting.documents.trial_rules` | among others `duplicate_trial_index` |
| a correction's id, and what it may change, see `reporting.documents.corrections` | `not_patchable` … |

Decoding goes straight into the typed structs, once. Only a document that fails is decoded again, untyped, to
tell an unknown schema from a wrong shape and to quote the value that is wrong; so is one of an older schema,
which is upcast first (see `reporting.documents.upcast`).
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from reporting.documents.corrections import read_correction
from reporting.documents.kinds import (
    JUDGED,
    Consent,
    ConsentDocument,
    Correction,
    CorrectionDocument,
    Device,
    DeviceDocument,
    Envelope,
    Invalid,
    Kept,
    Session,
    SessionDocument,
)
from reporting.documents.shape import describe_failure, quote
from reporting.documents.text import NUL_ESCAPE, key_text, without_nul, without_nul_deep
from reporting.documents.trial_rules import check_trials
from reporting.documents.upcast import CONTRACT, Contract, upcast

# A dead battery gives 1970, a wrong setting 2099: neither is an error. Beyond these years Python's and
# Postgres's calendars part, and no reader could load the row.
_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2999

Judged = Session | Device | Consent | Correction | Kept | Invalid
"""What a live leaf turns out to be."""

_DECODERS: Final = {type_: msgspec.json.Decoder(struct) for type_, struct in JUDGED.items()}
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_any = msgspec.json.Decoder().decode


def document_type(doc_id: str) -> str | None:
    """`"session:0afd…"` → `"session"`; None for an id without a type, such as a design document's."""
    prefix, colon, _ = doc_id.partition(":")
    return without_nul(prefix) if colon and not doc_id.startswith("_") else None


def validate(doc_id: str, body: bytes, *, site: str, contract: Contract = CONTRACT) -> Judged:
    """Judge one live leaf: `doc_id` with its prefix, `body` as stored, `site` of the database it is in.

    Never raises on what a document can hold.
    """
    type_ = document_type(doc_id)
    if type_ is None or type_ not in JUDGED:
        return _judge_other(body)
    try:
        document, nul_replaced = _decode(type_, body)
    except msgspec.ValidationError as failure:
        return _judge_raw(doc_id, type_, body, str(failure), site=site, contract=contract)
    except (ValueError, RecursionError) as failure:
        return _unreadable(failure)
    if _is_older(document.schema, contract):
        return _judge_raw(doc_id, type_, body, "", site=site, contract=contract)
    return _judge_typed(doc_id, document, nul_replaced, contract.schema, site=site, contract=contract)


def _judge_typed(
    doc_id: str, document: Envelope, nul_replaced: bool, sent: int, *, site: str, contract: Contract
) -> Judged:
    """Judge what has the right types; `sent` is the schema in which it was."""
    invalid = _check_envelope(doc_id, document, site=site, contract=contract) or _check_members(document)
    if invalid is not None:
        return invalid
    if isinstance(document, SessionDocument):
        return Session(key_text(doc_id).removeprefix("session:"), document, nul_replaced, sent)
    if isinstance(document, DeviceDocument):
        return Device(key_text(doc_id).removeprefix("device:"), document)
    if isinstance(document, ConsentDocument):
        return Consent(key_text(doc_id).removeprefix("consent:"), document)
    if isinstance(document, CorrectionDocument):
        return read_correction(doc_id, document)
    raise TypeError(f"{type(document).__name__} is in JUDGED and is not judged")


def _decode(type_: str, body: bytes) -> tuple[Envelope, bool]:
    """The typed document, and whether NUL had to be replaced."""
    if NUL_ESCAPE not in body:
        return _DECODERS[type_].decode(body), False
    raw, replaced = without_nul_deep(_decode_any(body))
    return msgspec.convert(raw, JUDGED[type_]), replaced


def _judge_other(body: bytes) -> Kept | Invalid:
    """A document of a type that the server writes itself: not judged, unless a tablet's type hides in it."""
    try:
        claimed = _decode_envelope(body).type
    except (ValueError, RecursionError):
        claimed = None
    if isinstance(claimed, str) and claimed in JUDGED:
        return Invalid(
            "type_mismatch",
            "$.type",
            f"$.type is {quote(claimed)}, but the id does not begin with `{claimed}:`."
            " Send the document under such an id.",
        )
    return Kept()


def _judge_raw(
    doc_id: str, type_: str, body: bytes, complaint: str, *, site: str, contract: Contract
) -> Judged:
    """Judge a document that is older, or of which the decoder complains: one that has to be read untyped."""
    try:
        raw = _decode_any(body)
    except (ValueError, RecursionError) as failure:
        return _unreadable(failure)
    if not isinstance(raw, dict):
        return Invalid("wrong_type", "$", f"The document is {quote(raw)}: it has to be an object.")
    if _is_older(raw.get("schema"), contract) and raw.get("type") == type_:
        return _judge_older(doc_id, type_, raw, site=site, contract=contract)
    envelope = Envelope(type=raw.get("type"), schema=raw.get("schema"), site=raw.get("site"))
    return _check_envelope(doc_id, envelope, site=site, contract=contract) or describe_failure(complaint, raw)


def _judge_older(doc_id: str, type_: str, raw: dict[str, Any], *, site: str, contract: Contract) -> Judged:
    sent: int = raw["schema"]
    clean, nul_replaced = without_nul_deep(raw)
    lifted = upcast(type_, clean, contract)
    if isinstance(lifted, Invalid):
        return lifted
    try:
        document = msgspec.convert(lifted, JUDGED[type_])
    except msgspec.ValidationError as failure:
        return _of_schema(describe_failure(str(failure), lifted), sent)
    except RecursionError as failure:
        return _unreadable(failure)
    judged = _judge_typed(doc_id, document, nul_replaced, sent, site=site, contract=contract)
    return _of_schema(judged, sent) if isinstance(judged, Invalid) else judged


def _of_schema(reason: Invalid, sent: int) -> Invalid:
    """Paths are those of the document after it was lifted: the message has to say so."""
    return reason._replace(
        message=f"{reason.message} (The document is of schema {sent}, read as the newest.)"
    )


def _is_older(schema: object, contract: Contract) -> bool:
    return type(schema) is int and schema < contract.schema


def _unreadable(failure: Exception) -> Invalid:
    if isinstance(failure, RecursionError):
        return Invalid("too_deep", "$", "The document is nested deeper than 500 levels.")
    return Invalid(
        "not_json",
        "$",
        f"The document cannot be read ({failure})."
        " Look for half a surrogate pair or a number beyond float64.",
    )


def _check_envelope(doc_id: str, document: Envelope, *, site: str, contract: Contract) -> Invalid | None:
    prefix, _, name = doc_id.partition(":")
    if document.type != prefix:
        return Invalid(
            "type_mismatch",
            "$.type",
            f"$.type is {quote(document.type)}, but the id begins with `{prefix}:`. The two have to agree.",
        )
    if not name:
        return Invalid("empty", "$._id", f"$._id is `{prefix}:` with nothing behind it: it has to name one.")
    if type(document.schema) is not int or document.schema != contract.schema:
        return Invalid(
            "unknown_schema",
            "$.schema",
            f"$.schema is {quote(document.schema)}; this server knows schema {contract.schema}."
            " Update the server, or the tablet if it sent none.",
        )
    if document.site is None and not isinstance(document, SessionDocument):
        return None
    if document.site != site:
        return Invalid(
            "wrong_site",
            "$.site",
            f"$.site is {quote(document.site)}, but the document is in the database of site {quote(site)}."
            " Send it to its own site's database, or correct the tablet's site.",
        )
    return None


def _check_members(document: Envelope) -> Invalid | None:
    """What the types cannot say: times and identities."""
    if isinstance(document, DeviceDocument):
        return _check_year(document.clock_at, "$.clock_at")
    if isinstance(document, ConsentDocument):
        return _check_year(document.signed_at, "$.signed_at")
    if isinstance(document, CorrectionDocument):
        return _check_year(document.made_at, "$.made_at")
    return check_session(document) if isinstance(document, SessionDocument) else None


def check_session(document: SessionDocument) -> Invalid | None:
    """The first thing wrong with a session of the right types: times and identities."""
    invalid = check_span(document.started_at, document.ended_at, "$")
    if invalid is not None:
        return invalid
    seen: dict[tuple[str, int], int] = {}
    for position, task_run in enumerate(document.tasks):
        path = f"$.tasks[{position}]"
        first = seen.setdefault((task_run.task, task_run.run), position)
        if first != position:
            return Invalid(
                "duplicate_task_run",
                path,
                f"{path} is {quote(task_run.task)} run {task_run.run}, as is $.tasks[{first}]:"
                " a task that is repeated needs another `run`.",
            )
        invalid = check_span(task_run.started_at, task_run.ended_at, path)
        invalid = invalid or check_trials(task_run.trials, path)
        if invalid is not None:
            return invalid
    return None


def _check_year(time: datetime | None, path: str) -> Invalid | None:
    if time is None or _FIRST_YEAR <= time.year <= _LAST_YEAR:
        return None
    return Invalid(
        "out_of_range",
        path,
        f"{path} is in the year {time.year}: it has to be between {_FIRST_YEAR} and {_LAST_YEAR}.",
    )


def check_span(started_at: datetime | None, ended_at: datetime | None, path: str) -> Invalid | None:
    """What is wrong with a beginning and an end; `path` is that of what they belong to."""
    invalid = _check_year(started_at, f"{path}.started_at") or _check_year(ended_at, f"{path}.ended_at")
    if invalid is not None:
        return invalid
    if started_at is not None and ended_at is not None and ended_at < started_at:
        where = f"{path}.ended_at"
        return Invalid(
            "times_out_of_order",
            where,
            f"{where} is {ended_at.isoformat()}, before started_at {started_at.isoformat()}."
            " The tablet's clock was probably set in between: check it.",
        )
    return None

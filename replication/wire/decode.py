"""Documents as clients send them: raw bytes to `Incoming`, each document judged by itself.

The bytes between the braces are kept as they came. Only the members that begin with an underscore are
decoded; they are the protocol's and never part of the stored body. The whole text is decoded once more and
thrown away: that is the cheapest complete proof that it is JSON, UTF-8 and within float64.

    what arrives                                       what happens
    -----------------------------------------------    ------------------------------------------------
    not JSON, or not UTF-8                             BadRequest, for the whole request
    one document over the size or nesting limit        that document is refused (`forbidden`), others go on
    lone surrogates, numbers beyond float64            that document is normalised, the original is kept
    an unknown or malformed `_member`                  that document is refused (`doc_validation`)
    an id that no document may have                    that document is refused (`illegal_docid`)
    not an object, a bad `_rev`, or none where the     that document is refused (`bad_request`)
    document has to name its revision
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from replication.edits import Edit
from replication.errors import BadRequest, CouchError, DocValidation, Forbidden, IllegalDocId
from replication.values import Rev
from replication.wire.attachments import AttachmentMember, Part, decode_attachments
from replication.wire.normalise import has_huge_integer, normalise
from replication.wire.split import is_deeper, split

NewId = Callable[[], str]
"""Names a document that its client leaves to the store to name."""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_NESTING = 500
MAX_ID_BYTES = 512
"""Ids become keys wherever documents go, and the keys of databases have a limit."""


class Refusal(msgspec.Struct, frozen=True):
    """Why one document of a request is not stored, in CouchDB's words."""

    error: str
    reason: str


class Incoming(msgspec.Struct, frozen=True):
    """One document of a request. Either `edit` or `refusal` is set.

    `original` and `notes` are set when the text had to be normalised. `attachments_json` is the member
    `_attachments` as it came, normalised.
    """

    id: str
    rev: str | None
    edit: Edit | None = None
    refusal: Refusal | None = None
    type: str | None = None
    original: bytes | None = None
    notes: tuple[str, ...] = ()
    attachments_json: msgspec.Raw | None = None


class BulkDocs(msgspec.Struct, frozen=True):
    """The body of `_bulk_docs`."""

    docs: tuple[Incoming, ...]
    new_edits: bool


class _Revisions(msgspec.Struct):
    start: int
    ids: list[str]


class _Special(msgspec.Struct, rename={"id": "_id", "rev": "_rev"}):
    """The protocol's members of a document."""

    id: str | UnsetType = UNSET
    rev: str | UnsetType = UNSET
    deleted: bool = msgspec.field(default=False, name="_deleted")
    revisions: _Revisions | UnsetType = msgspec.field(default=UNSET, name="_revisions")
    attachments: dict[str, AttachmentMember] = msgspec.field(default_factory=dict, name="_attachments")


class _Identity(msgspec.Struct, rename={"id": "_id", "rev": "_rev"}):
    """What is told of a document that is refused unread."""

    id: msgspec.Raw = msgspec.Raw(b"null")
    rev: msgspec.Raw = msgspec.Raw(b"null")


class _BulkBody(msgspec.Struct):
    docs: list[msgspec.Raw]
    new_edits: bool = True


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_bulk = msgspec.json.Decoder(_BulkBody)
_identity = msgspec.json.Decoder(_Identity)
_anything = msgspec.json.Decoder()

# Members that a client may send back because a server once sent them; they are derived, never stored.
_DERIVED = {"_conflicts", "_deleted_conflicts", "_local_seq", "_revs_info"}
_REPLICATION = {
    "_replication_id",
    "_replication_state",
    "_replication_state_reason",
    "_replication_state_time",
    "_replication_stats",
}
"""What a replicator writes into the documents that ask for replications: content, as in CouchDB."""
_SPECIAL = {"_id", "_rev", "_deleted", "_revisions", "_attachments"}


def check_utf8(text: bytes) -> None:
    """Raises BadRequest unless `text` is UTF-8."""
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"invalid_json: the body is not UTF-8 (byte {error.start})") from error


def decode_bulk_docs(body: bytes, *, new_id: NewId | None = None) -> BulkDocs:
    """The documents of a `_bulk_docs` request. `new_id` names those that are not replicated and carry none.

    Raises BadRequest when the request as a whole cannot be read.
    """
    check_utf8(body)
    try:
        request = _bulk.decode(body)
        texts: list[bytes] = [bytes(raw) for raw in request.docs]
        new_edits = request.new_edits
    except (msgspec.DecodeError, RecursionError):
        texts, new_edits = _cut(body)
    docs = tuple(
        decode_document(text, new_id=new_id if new_edits else None, replicated=not new_edits)
        for text in texts
    )
    return BulkDocs(docs, new_edits)


def _cut(body: bytes) -> tuple[list[bytes], bool]:
    """The texts of the documents, and `new_edits`, of a request of which some document cannot be decoded."""
    if not body.lstrip().startswith(b"{"):
        raise BadRequest("Request body must be a JSON object")
    members = {_name(piece.key or b""): piece.value for piece in split(body)}
    docs = members.pop("docs", None)
    if docs is None:
        raise BadRequest("POST body must include `docs` parameter.")
    if not docs.startswith(b"["):
        raise BadRequest("`docs` parameter must be an array.")
    others = {name: _json(value) for name, value in members.items()}
    new_edits = others.get("new_edits", True)
    if not isinstance(new_edits, bool):
        raise BadRequest("`new_edits` parameter must be a boolean.")
    return [piece.value for piece in split(docs)], new_edits


def decode_document(
    text: bytes,
    *,
    doc_id: str | None = None,
    new_id: NewId | None = None,
    replicated: bool = False,
    parts: Sequence[Part] | None = None,
) -> Incoming:
    """One document, UTF-8. `doc_id` is the URL's and holds, whatever the document says; `new_id` names one
    that has no id at all. A replicated document has to name its revision. `parts` are the attachments behind
    it in a multipart body.

    Raises BadRequest when the text is not JSON, ContentMd5Mismatch or AttachmentTooLarge for a part; every
    other problem is a refusal of this document.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        reason = f"document is larger than {MAX_DOCUMENT_BYTES} bytes"
        return _refused(_early_identity(text, doc_id), Forbidden(reason))
    if is_deeper(text, MAX_NESTING):
        reason = f"document is nested deeper than {MAX_NESTING} levels"
        return _refused(_early_identity(text, doc_id), Forbidden(reason))
    original: bytes | None = None
    notes: tuple[str, ...] = ()
    if not _decodable(text):
        normalised = normalise(text)
        if normalised.notes:
            original, text, notes = text, normalised.text, normalised.notes
    try:
        members = _members.decode(text)
    except msgspec.ValidationError:
        return _refused((doc_id or "", None), BadRequest("Document must be a JSON object"))
    claimed = (doc_id or _text(members.get("_id")) or "", _text(members.get("_rev")))
    try:
        incoming = _incoming(members, doc_id, new_id, replicated=replicated, parts=parts)
    except (BadRequest, DocValidation, Forbidden, IllegalDocId) as failure:
        incoming = _refused(claimed, failure)
    if original is None:
        return incoming
    return msgspec.structs.replace(incoming, original=original, notes=notes)


def _decodable(text: bytes) -> bool:
    try:
        _anything.decode(text)
    except ValueError:
        return False
    return not has_huge_integer(text)


def _incoming(
    members: Mapping[str, msgspec.Raw],
    doc_id: str | None,
    new_id: NewId | None,
    *,
    replicated: bool,
    parts: Sequence[Part] | None,
) -> Incoming:
    check_reserved_members(members)
    underscored = {name: raw for name, raw in members.items() if name.startswith("_")}
    if "_id" in members and _text(members["_id"]) is None:
        raise IllegalDocId("Document id must be a string")
    try:
        special = msgspec.json.decode(_object(underscored), type=_Special)
    except msgspec.ValidationError as error:
        raise DocValidation(f"Bad special document member: {error}") from error
    named = doc_id if doc_id is not None else special.id
    if isinstance(named, UnsetType):
        named = new_id() if new_id is not None else ""
    check_id(named)
    path = _path(special)
    if replicated and not path:
        raise BadRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
    attachments = decode_attachments(special.attachments, parts)
    body = _object(
        {name: raw for name, raw in members.items() if name not in underscored or name in _REPLICATION}
    )
    edit = Edit(named, path, body, special.deleted, attachments)
    rev = str(path[0]) if path else None
    return Incoming(
        named,
        rev,
        edit=edit,
        type=_text(members.get("type")),
        attachments_json=members.get("_attachments"),
    )


def check_reserved_members(names: Iterable[str]) -> None:
    """Raises DocValidation for a member that begins with an underscore and is none of the protocol's."""
    reserved = {name for name in names if name.startswith("_")}
    unknown = sorted(reserved - _SPECIAL - _DERIVED - _REPLICATION)
    if unknown:
        raise DocValidation(f"Bad special document member: {unknown[0]}")


def check_id(doc_id: str) -> None:
    """Raises IllegalDocId unless a document may be called so; Forbidden for a checkpoint."""
    if not doc_id:
        raise IllegalDocId("Document id must not be empty")
    if len(doc_id.encode()) > MAX_ID_BYTES:
        raise IllegalDocId("Document id is too long")
    if doc_id.startswith("_local/"):
        # Stored like a document it would be replicated, and it would pass by the rules for checkpoints.
        raise Forbidden("a _local document has to be asked for by its own URL")
    if doc_id.startswith("_") and (not doc_id.startswith("_design/") or doc_id == "_design/"):
        raise IllegalDocId("Only reserved document ids may start with underscore.")


def _path(special: _Special) -> tuple[Rev, ...]:
    try:
        rev = None if isinstance(special.rev, UnsetType) else Rev.parse(special.rev)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    if isinstance(special.revisions, UnsetType):
        return () if rev is None else (rev,)
    try:
        path = Rev.path(special.revisions.start, special.revisions.ids)
    except ValueError as error:
        raise DocValidation(str(error)) from error
    if rev is not None and path[0] != rev:
        raise DocValidation(f"_rev {rev} is not the newest of _revisions ({path[0]})")
    return path


def _object(members: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{" + b",".join(_key(name) + bytes(raw) for name, raw in members.items()) + b"}"


@functools.lru_cache(maxsize=1024)
def _short_key(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _key(name: str) -> bytes:
    # A document's members are called the same again and again; what somebody makes up is not kept.
    return _short_key(name) if len(name) <= 32 else msgspec.json.encode(name) + b":"


def _text(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    value: Any = msgspec.json.decode(raw)
    return value if isinstance(value, str) else None


def _json(text: bytes) -> Any:
    try:
        return _anything.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"invalid_json: {error}") from error


def _name(key: bytes) -> str:
    name = _json(key)
    if not isinstance(name, str):
        raise BadRequest("invalid_json: a member is not named by a string")
    return name


def _early_identity(text: bytes, doc_id: str | None) -> tuple[str, str | None]:
    """Id and revision of a document that is refused unread, as far as they can be told."""
    try:
        found = _identity.decode(text)
        claimed = [found.id, found.rev]
    except (msgspec.DecodeError, RecursionError):
        members = {piece.key: piece.value for piece in split(text)}
        claimed = [msgspec.Raw(members.get(key, b"null")) for key in (b'"_id"', b'"_rev"')]
    # A lone surrogate in a name must not cost the documents beside this one.
    texts = [
        _text(msgspec.Raw(normalise(bytes(raw)).text)) if bytes(raw).startswith(b'"') else None
        for raw in claimed
    ]
    return doc_id or texts[0] or "", texts[1]


def _refused(identity: tuple[str, str | None], failure: CouchError) -> Incoming:
    return Incoming(identity[0], identity[1], refusal=Refusal(failure.error, failure.reason))

"""Documents as clients send them: raw bytes to `Incoming`, each document judged by itself.

The bytes between the braces are kept as they came. Only the members that begin with an underscore are
decoded; they are the protocol's and never part of the stored body. The whole text is decoded once more and
thrown away: that is the cheapest complete proof that it is JSON, UTF-8 and within float64.

    what arrives                                       what happens
    -----------------------------------------------    ------------------------------------------------
    not JSON, or not UTF-8                             BadRequest, for the whole request
    one document over the size or nesting limit        that document is refused (`forbidden`), others go on
    lone surrogates, numbers beyond float64            that document is normalised, the original is kept
    an unknown `_member`, a bad `_id` or `_rev`        that document is refused (`doc_validation`)
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from replication.edits import Attachment, Edit
from replication.errors import BadRequest
from replication.values import Rev
from replication.wire.normalise import has_huge_integer, normalise
from replication.wire.split import nested_deeper_than, split

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_NESTING = 500


class Refusal(msgspec.Struct, frozen=True):
    """Why one document of a request is not stored, in CouchDB's words."""

    error: str
    reason: str


class Incoming(msgspec.Struct, frozen=True):
    """One document of a request. Either `edit` or `refusal` is set.

    `original` and `notes` are set when the text had to be normalised.
    """

    id: str
    rev: str | None
    edit: Edit | None = None
    refusal: Refusal | None = None
    type: str | None = None
    original: bytes | None = None
    notes: tuple[str, ...] = ()


class BulkDocs(msgspec.Struct, frozen=True):
    """The body of `_bulk_docs`."""

    docs: tuple[Incoming, ...]
    new_edits: bool


class _Revisions(msgspec.Struct):
    start: int
    ids: list[str]


class _AttachmentMember(msgspec.Struct):
    content_type: str = "application/octet-stream"
    data: str | None = None
    stub: bool = False
    follows: bool = False
    revpos: int | None = None
    digest: str | None = None
    length: int | None = None


class _Special(msgspec.Struct, rename={"id": "_id", "rev": "_rev"}):
    """The protocol's members of a document, and `type`, which policies judge."""

    id: str | None = None
    rev: str | None = None
    deleted: bool = msgspec.field(default=False, name="_deleted")
    revisions: _Revisions | None = msgspec.field(default=None, name="_revisions")
    attachments: dict[str, _AttachmentMember] = msgspec.field(default_factory=dict, name="_attachments")


class _BulkBody(msgspec.Struct):
    docs: list[msgspec.Raw]
    new_edits: bool = True


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_bulk = msgspec.json.Decoder(_BulkBody)
_anything = msgspec.json.Decoder()

# Members that a client may send back because a server once sent them; they are derived, never stored.
_DERIVED = {"_conflicts", "_deleted_conflicts", "_local_seq", "_revs_info"}
_SPECIAL = {"_id", "_rev", "_deleted", "_revisions", "_attachments"}


def check_utf8(text: bytes) -> None:
    """Raises BadRequest unless `text` is UTF-8."""
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"invalid_json: the body is not UTF-8 (byte {error.start})") from error


def decode_bulk_docs(body: bytes) -> BulkDocs:
    """The documents of a `_bulk_docs` request. Raises BadRequest when the request as a whole cannot be read.
    """
    check_utf8(body)
    try:
        request = _bulk.decode(body)
        texts: list[bytes] = [bytes(raw) for raw in request.docs]
        new_edits = request.new_edits
    except (msgspec.DecodeError, RecursionError) as error:
        members = {piece.key: piece.value for piece in split(body)}
        if b'"docs"' not in members:
            raise BadRequest("POST body must include `docs` parameter.") from error
        texts = [piece.value for piece in split(members[b'"docs"'])]
        new_edits = members.get(b'"new_edits"', b"true") == b"true"
    return BulkDocs(tuple(decode_document(text) for text in texts), new_edits)


def decode_document(text: bytes, *, doc_id: str | None = None) -> Incoming:
    """One document. `doc_id` is the id of the URL, for a document that carries none.

    Raises BadRequest when the text is not a JSON object; every other problem is a refusal of this document.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        return _refused(
            _early_id(text, doc_id), "forbidden", f"document is larger than {MAX_DOCUMENT_BYTES} bytes"
        )
    if nested_deeper_than(text, MAX_NESTING):
        return _refused(
            _early_id(text, doc_id), "forbidden", f"document is nested deeper than {MAX_NESTING} levels"
        )
    original: bytes | None = None
    notes: tuple[str, ...] = ()
    if not _decodable(text):
        normalised = normalise(text)
        original, text, notes = text, normalised.text, normalised.notes
    try:
        members = _members.decode(text)
    except msgspec.ValidationError as error:
        raise BadRequest("Document must be a JSON object") from error
    incoming = _incoming(members, doc_id)
    if original is None:
        return incoming
    return msgspec.structs.replace(incoming, original=original, notes=notes)


def _decodable(text: bytes) -> bool:
    try:
        _anything.decode(text)
    except (msgspec.DecodeError, ValueError):
        return False
    return not has_huge_integer(text)


def _incoming(members: Mapping[str, msgspec.Raw], doc_id: str | None) -> Incoming:
    underscored = {name: raw for name, raw in members.items() if name.startswith("_")}
    unknown = sorted(underscored.keys() - _SPECIAL - _DERIVED)
    claimed = _text(members.get("_id")) or doc_id or ""
    claimed_rev = _text(members.get("_rev"))
    if unknown:
        return _refused(
            (claimed, claimed_rev), "doc_validation", f"Bad special document member: {unknown[0]}"
        )
    try:
        special = msgspec.json.decode(_object(underscored), type=_Special)
    except msgspec.ValidationError as error:
        return _refused((claimed, claimed_rev), "doc_validation", f"Bad special document member: {error}")
    if doc_id is not None and special.id not in (None, doc_id):
        return _refused((doc_id, special.rev), "bad_request", "Document ID must match the one in the URL")
    identity = (special.id or doc_id or "", special.rev)
    try:
        check_id(identity[0])
        path = _path(special)
        attachments = {name: _attachment(name, sent) for name, sent in special.attachments.items()}
    except ValueError as error:
        return _refused(identity, "doc_validation", str(error))
    body = _object({name: raw for name, raw in members.items() if not name.startswith("_")})
    edit = Edit(identity[0], path, body, special.deleted, attachments)
    rev = str(path[0]) if path else None
    return Incoming(identity[0], rev, edit=edit, type=_text(members.get("type")))


def check_id(doc_id: str) -> None:
    """Raises ValueError unless a document may be called so."""
    if not doc_id:
        raise ValueError("Document id must not be empty")
    if doc_id.startswith("_") and not doc_id.startswith(("_design/", "_local/")):
        raise ValueError("Only reserved document ids may start with underscore.")


def _path(special: _Special) -> tuple[Rev, ...]:
    rev = None if special.rev is None else Rev.parse(special.rev)
    if special.revisions is None:
        return () if rev is None else (rev,)
    start, ids = special.revisions.start, special.revisions.ids
    if not ids or start < len(ids):
        raise ValueError(f"_revisions does not fit its start ({start}, {len(ids)} ids)")
    path = tuple(Rev(start - age, rev_id) for age, rev_id in enumerate(ids))
    if rev is not None and path[0] != rev:
        raise ValueError(f"_rev {rev} is not the newest of _revisions ({path[0]})")
    if not all(rev_id for rev_id in ids):
        raise ValueError("_revisions holds an empty id")
    return path


def digest_of(data: bytes) -> str:
    """An attachment's digest as CouchDB writes it."""
    return "md5-" + base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _attachment(name: str, sent: _AttachmentMember) -> Attachment:
    if not name or name.startswith("_"):
        raise ValueError(f"Attachment name {name!r} must not be empty or begin with an underscore")
    if sent.data is not None:
        try:
            data = base64.b64decode(sent.data, validate=True)
        except binascii.Error as error:
            raise ValueError(f"Attachment {name!r}: data is not base64") from error
        return Attachment(sent.content_type, digest_of(data), len(data), sent.revpos, data)
    if not sent.stub or sent.digest is None:
        raise ValueError(f"Attachment {name!r} needs `data`, or `stub` with its digest")
    return Attachment(sent.content_type, sent.digest, sent.length or 0, sent.revpos)


def _object(members: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{" + b",".join(_key(name) + bytes(raw) for name, raw in members.items()) + b"}"


def _key(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _text(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    value: Any = msgspec.json.decode(raw)
    return value if isinstance(value, str) else None


def _early_id(text: bytes, doc_id: str | None) -> tuple[str, str | None]:
    """Id and revision of a document that is refused unread, as far as they can be told."""
    found: dict[str, str] = {}
    for piece in split(text):
        if piece.key in (b'"_id"', b'"_rev"') and piece.depth == 0:
            value = msgspec.json.decode(piece.value)
            if isinstance(value, str):
                found[piece.key.decode().strip('"')] = value
    return found.get("_id", doc_id or ""), found.get("_rev")


def _refused(identity: tuple[str, str | None], error: str, reason: str) -> Incoming:
    return Incoming(identity[0], identity[1], refusal=Refusal(error, reason))

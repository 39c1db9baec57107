"""Attachments as documents bring them: inside as base64, behind them in a multipart body, or as stubs.

CouchDB packs attachments of compressible types when they arrive, and its digest is then that of the packed
bytes: PouchDB, which digests the content, sees another digest than it sent. Here data is kept as it was sent.
What comes packed (`encoding: gzip`, from a CouchDB that packed it) stays packed under the digest it came
with, so that a round trip over two servers changes nothing; what comes plain stays plain, under the digest of
the content, and arrival costs no compression.

    what arrives                                     what happens
    ---------------------------------------------    -----------------------------------------------
    `data` that is not base64                        DocValidation
    neither `data` nor `follows` nor `stub`          DocValidation
    `follows` and no such part, or a part too many   BadRequest
    a part of another length than is told            BadRequest
    a part whose digest is another one               ContentMd5Mismatch
    packed data over the limit when unpacked         AttachmentTooLarge, before it is unpacked further
    `encoding: gzip` and no gzip, or another one     BadRequest
"""

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from replication.edits import Attachment
from replication.errors import AttachmentTooLarge, BadRequest, ContentMd5Mismatch, DocValidation

MAX_ATTACHMENT_BYTES = 64 * 1024 * 1024
"""One attachment, packed or not, by whichever way it comes."""

_PIECE_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class AttachmentMember(msgspec.Struct):
    """One member of a document's `_attachments`."""

    content_type: str = "application/octet-stream"
    data: str | None = None
    stub: bool = False
    follows: bool = False
    revpos: int | None = None
    digest: str | None = None
    length: int | None = None
    encoding: str | None = None
    encoded_length: int | None = None


class Part(msgspec.Struct, frozen=True):
    """The bytes of one attachment in a multipart body, and how its own headers call it."""

    filename: str | None
    data: bytes


def digest_of(data: bytes) -> str:
    """An attachment's digest as CouchDB writes it."""
    return "md5-" + base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def check_attachment_name(name: str) -> None:
    """Raises BadRequest unless an attachment may be called so."""
    if not name or name.startswith("_"):
        raise BadRequest(f"Attachment name {name!r} is empty or starts with prohibited character '_'")


def decode_attachments(
    members: Mapping[str, AttachmentMember], parts: Sequence[Part] | None = None
) -> dict[str, Attachment]:
    """The attachments of a document; `parts` are those that follow it, in their order; None: it
    came without a multipart body around it, and none can follow.

    Raises BadRequest, DocValidation, ContentMd5Mismatch or AttachmentTooLarge.
    """
    following = [name for name, sent in members.items() if sent.follows and sent.data is None]
    assigned = {} if parts is None else _assigned(following, parts)
    return {name: _attachment(name, sent, assigned.get(name)) for name, sent in members.items()}


def _assigned(names: Sequence[str], parts: Sequence[Part]) -> dict[str, Part]:
    """Which part belongs to which name. By order, as in CouchDB; by name, where every part has one."""
    if len(parts) < len(names):
        raise BadRequest("attachment shorter than expected: the body has fewer parts than attachments follow")
    if len(parts) > len(names):
        raise BadRequest("attachment longer than expected: the body has more parts than attachments follow")
    by_name = {part.filename: part for part in parts if part.filename is not None}
    if by_name.keys() == set(names):
        return {name: by_name[name] for name in names}
    return dict(zip(names, parts, strict=True))


def _attachment(name: str, sent: AttachmentMember, part: Part | None) -> Attachment:
    check_attachment_name(name)
    if part is not None:
        return _followed(name, sent, part.data)
    if sent.data is not None:
        try:
            data = base64.b64decode(sent.data, validate=True)
        except ValueError as error:
            raise DocValidation(f"Attachment {name!r}: data is not base64") from error
        return Attachment(sent.content_type, digest_of(data), len(data), sent.revpos, data)
    if not sent.stub:
        raise DocValidation(f"Attachment {name!r} needs `data`, or to be a `stub`")
    return Attachment(sent.content_type, sent.digest or "", sent.length or 0, sent.revpos)


def _followed(name: str, sent: AttachmentMember, data: bytes) -> Attachment:
    encoding = None if sent.encoding in (None, "identity") else sent.encoding
    told = sent.length if encoding is None or sent.encoded_length is None else sent.encoded_length
    if told is not None and told != len(data):
        compared = "longer" if len(data) > told else "shorter"
        raise BadRequest(f"attachment {compared} than expected: {name!r} has {len(data)} bytes, not {told}")
    digest = digest_of(data)
    if sent.digest is not None and sent.digest.startswith("md5-") and sent.digest != digest:
        raise ContentMd5Mismatch
    if len(data) > MAX_ATTACHMENT_BYTES:
        raise AttachmentTooLarge(name)
    length = len(data) if encoding is None else _unpacked_length(name, encoding, data)
    return Attachment(sent.content_type, digest, length, sent.revpos, data, encoding)


def _unpacked_length(name: str, encoding: str, data: bytes) -> int:
    if encoding != "gzip":
        raise BadRequest(f"Attachment {name!r}: only gzip and identity encodings are supported")
    length = 0
    unpacking = Unpacking()
    for piece in unpacking.feed(data):
        length += len(piece)
        if length > MAX_ATTACHMENT_BYTES:
            raise AttachmentTooLarge(name)
    if not unpacking.complete:
        raise BadRequest(f"Attachment {name!r} is not gzip")
    return length


class Unpacking:
    """Content out of gzip, a bounded piece at a time, however far it expands."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)

    @property
    def complete(self) -> bool:
        """Whether what was read ends where a gzip stream ends."""
        return self._stream.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The content of the next bytes. Raises BadRequest when they are not gzip."""
        try:
            while data or not self._stream.eof:
                if self._stream.eof:
                    # gzip streams may be put one behind the other.
                    self._stream = zlib.decompressobj(_GZIP)
                piece = self._stream.decompress(data, _PIECE_BYTES)
                if piece:
                    yield piece
                data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
                if not piece and not data:
                    return
        except zlib.error as error:
            raise BadRequest("the attachment is not gzip") from error

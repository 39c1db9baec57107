"""A document and its attachments out of a `multipart/related` body, as the body arrives.

what arrives                                         what happens
-------------------------------------------------    ------------------------------------------
a first part that is not `application/json`          BadContentType
no part at all                                       BadRequest
an attachment over MAX_ATTACHMENT_BYTES              AttachmentTooLarge as soon as it is over it
a part with another Content-Length than it has       BadRequest
an end before the last delimiter                     BadRequest
"""

from collections.abc import Mapping

import msgspec

from replication.errors import AttachmentTooLarge, BadContentType, BadRequest
from replication.wire.attachments import MAX_ATTACHMENT_BYTES, Part
from replication.wire.multipart import (
    Event,
    MultipartParser,
    PartBegin,
    PartData,
    boundary_of,
    parse_header,
)


class Related(msgspec.Struct, frozen=True):
    """The document's JSON as it was sent, and what follows it."""

    document: bytes
    parts: tuple[Part, ...]


class RelatedReader:
    """Collects one body: `feed` every piece, then `finish`. Holds what it has been fed, and only once."""

    def __init__(self, content_type: str) -> None:
        """Raises BadRequest when `content_type` names no usable boundary."""
        self._parser = MultipartParser(boundary_of(content_type))
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._document: bytes | None = None
        self._parts: list[Part] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises BadRequest, BadContentType or AttachmentTooLarge."""
        for event in self._parser.feed(piece):
            self._take(event)

    def finish(self) -> Related:
        """The whole. Raises BadRequest when the body is not complete."""
        self._parser.close()
        if self._document is None:
            raise BadRequest("the multipart body has no document")
        return Related(self._document, tuple(self._parts))

    def _take(self, event: Event) -> None:
        if isinstance(event, PartBegin):
            self._begin(event.headers)
        elif isinstance(event, PartData):
            self._size += len(event.data)
            if self._document is not None and self._size > MAX_ATTACHMENT_BYTES:
                raise AttachmentTooLarge(self._filename() or "attachment")
            self._pieces.append(event.data)
        else:
            self._end()

    def _begin(self, headers: Mapping[str, str]) -> None:
        self._headers, self._pieces, self._size = headers, [], 0
        if self._document is None:
            if parse_header(headers.get("content-type", "")).value != "application/json":
                raise BadContentType("Content-Type must be application/json")
        elif int(self._told_length() or 0) > MAX_ATTACHMENT_BYTES:
            raise AttachmentTooLarge(self._filename() or "attachment")

    def _end(self) -> None:
        told = self._told_length()
        if told is not None and int(told) != self._size:
            raise BadRequest(f"a part has {self._size} bytes, and its Content-Length is {told}")
        data = b"".join(self._pieces)
        self._pieces = []
        if self._document is None:
            self._document = data
        else:
            self._parts.append(Part(self._filename(), data))

    def _told_length(self) -> str | None:
        text = self._headers.get("content-length")
        if text is not None and not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise BadRequest("bad part header: Content-Length is no length")
        return text

    def _filename(self) -> str | None:
        return parse_header(self._headers.get("content-disposition", "")).parameters.get("filename")

"""Documents with their attachments as multipart answers, framed as CouchDB frames them.

    asked                                        answered
    -----------------------------------------    ---------------------------------------------------------
    one document, `attachments` or `atts_since`  multipart/related with its length; JSON where nothing
                                                 follows
    `open_revs`                                  multipart/mixed, a part a revision: JSON, multipart/related,
                                                 or `{"missing": rev}` as `application/json; error="true"`
    `_bulk_get`                                  multipart/mixed or /related, a part a revision, with X-Doc-Id
                                                 and X-Rev-Id where attachments follow

At most PIECE_BYTES of one attachment are in memory for an answer, whatever the sizes are.
"""

import re
import secrets
from collections.abc import Mapping

from aiohttp import web

from replication.http.streaming import Stream
from replication.store.bodies import KeptAttachment, Revision
from replication.store.database import Database
from replication.wire.multipart import CLOSING, delimiter, header_text, opening, part_head, quoted

UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
"""No header may hold these, and a document may name any content type."""

_JSON = ("Content-Type", "application/json")
_JSON_ERROR = ("Content-Type", 'application/json; error="true"')


def new_boundary() -> bytes:
    """A boundary that no content can foresee."""
    return secrets.token_hex(16).encode()


def header_content_type(kept: KeptAttachment) -> str:
    """The attachment's type as a header may hold it."""
    return UNPRINTABLE.sub("?", kept.content_type) or "application/octet-stream"


class RelatedDocument:
    """One document and the attachments behind it; without any it is its JSON alone."""

    def __init__(self, revision: Revision, json: bytes, following: Mapping[str, KeptAttachment]) -> None:
        self.revision = revision
        self._boundary = new_boundary()
        self._following = list(following.values())
        between = delimiter(self._boundary)
        heads = [between + _attachment_head(name, kept) for name, kept in following.items()]
        # What stands before each attachment, and behind the last one.
        self._frame = (
            [opening(self._boundary) + part_head([_JSON]) + json + heads[0], *heads[1:], between + CLOSING]
            if heads
            else [json]
        )

    @property
    def content_type(self) -> str:
        """Its Content-Type, boundary included."""
        if not self._following:
            return "application/json"
        return f'multipart/related; boundary="{self._boundary.decode()}"'

    @property
    def length(self) -> int:
        """Bytes that `write` writes."""
        return sum(map(len, self._frame)) + sum(kept.kept_length for kept in self._following)

    @property
    def has_attachments(self) -> bool:
        """Whether it is written in parts."""
        return bool(self._following)

    async def write(self, database: Database, out: Stream) -> None:
        """Write it piece by piece. Raises ConnectionCut."""
        for index, frame in enumerate(self._frame):
            await out.write(frame)
            if index < len(self._following):
                async for piece in database.attachment_pieces(self._following[index]):
                    await out.write(piece)


def _attachment_head(name: str, kept: KeptAttachment) -> bytes:
    headers = [
        ("Content-Disposition", f"attachment; filename={quoted(name)}"),
        ("Content-Type", header_content_type(kept)),
        ("Content-Length", str(kept.kept_length)),
    ]
    if kept.encoding is not None:
        headers.append(("Content-Encoding", kept.encoding))
    return part_head(headers)


async def send_document(
    request: web.Request, database: Database, document: RelatedDocument, headers: Mapping[str, str]
) -> web.StreamResponse:
    """The answer to a GET of one document."""
    sent = {**headers, "Content-Type": document.content_type}
    async with Stream(request, sent, length=document.length) as out:
        if request.method != "HEAD":
            await document.write(database, out)
        return await out.finish()


class MixedStream(Stream):
    """A multipart answer of whole documents: `document` and `failure` in turn, then `end`."""

    def __init__(self, request: web.Request, *, kind: str = "multipart/mixed") -> None:
        self._boundary = new_boundary()
        self._first = True
        super().__init__(request, {"Content-Type": f'{kind}; boundary="{self._boundary.decode()}"'})

    async def document(self, database: Database, document: RelatedDocument, *, named: bool = False) -> None:
        """A part with a document; `named`: its id and revision are in the headers too, if parts follow it."""
        headers = [("Content-Type", document.content_type)]
        if named and document.has_attachments:
            shown = document.revision
            headers = [
                ("X-Doc-Id", header_text(shown.id)),
                ("X-Rev-Id", header_text(str(shown.rev))),
                *headers,
            ]
        await self._begin(headers)
        await document.write(database, self)

    async def failure(self, json: bytes) -> None:
        """A part that says what could not be sent."""
        await self._begin([_JSON_ERROR])
        await self.write(json)

    async def end(self) -> web.StreamResponse:
        """The complete answer, sent. Raises ConnectionCut."""
        await self.write((opening if self._first else delimiter)(self._boundary) + CLOSING)
        return await self.finish()

    async def _begin(self, headers: list[tuple[str, str]]) -> None:
        await self.write((opening if self._first else delimiter)(self._boundary) + part_head(headers))
        self._first = False

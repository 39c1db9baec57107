"""Attachments by their own URL.

kept    the client takes gzip    sent
------  -----------------------  -----------------------------------------------------------------
plain   any                      as kept; ranges are served, `Content-MD5` is that of the whole
gzip    yes                      as kept, `Content-Encoding: gzip`; no ranges
gzip    no                       unpacked while it is sent; no ranges
"""

from collections.abc import AsyncIterator

from aiohttp import web

from replication.edits import Attachment, Edit
from replication.errors import (
    AttachmentTooLarge,
    BadContentType,
    Conflict,
    ContentMd5Mismatch,
    NotFound,
    TooLarge,
)
from replication.http.answers import not_modified, rev_of, unchanged
from replication.http.call import Call
from replication.http.documents import base_rev, location_of, open_revision, write_one
from replication.http.intake import body_pieces
from replication.http.multipart import UNPRINTABLE, header_content_type, new_boundary
from replication.http.negotiation import accepts_gzip
from replication.http.streaming import Stream
from replication.store.bodies import KeptAttachment
from replication.store.database import Database
from replication.wire.attachments import (
    MAX_ATTACHMENT_BYTES,
    Unpacking,
    check_attachment_name,
    digest_of,
)
from replication.wire.decode import Incoming
from replication.wire.multipart import CLOSING, delimiter, opening, part_head
from replication.wire.ranges import ByteRange, byte_ranges

SANDBOXED = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
"""Who wrote an attachment chose type and content: it must not run scripts in the origin of this server."""


async def get(call: Call) -> web.StreamResponse:
    """`GET /{db}/{doc}/{attachment}`, whole or in ranges."""
    doc_id = call.document_id()
    request = call.request
    database = await call.database()
    asked = request.query.get("rev")
    _, revision = await open_revision(database, doc_id, None if asked is None else rev_of(asked))
    kept = revision.attachments.get(request.match_info["attachment"])
    if kept is None:
        raise NotFound("Document is missing attachment")
    etag = f'"{kept.digest.removeprefix("md5-")}"'
    if unchanged(request, etag):
        return not_modified(etag)
    headers = {
        "Content-Type": header_content_type(kept),
        "ETag": etag,
        "Accept-Ranges": "bytes" if kept.encoding is None else "none",
        **SANDBOXED,
    }
    if kept.encoding is not None:
        return await _send_packed(request, database, kept, headers)
    ranges = None
    if request.headers.get("If-Range", etag) == etag:
        ranges = byte_ranges(request.headers.get("Range"), kept.length)
    if ranges is not None and len(ranges) > 1:
        return await _send_ranges(request, database, kept, headers, ranges)
    if ranges is not None:
        (wanted,) = ranges
        headers["Content-Range"] = wanted.of(kept.length)
        pieces = database.attachment_pieces(kept, wanted.start, wanted.last + 1)
        size = wanted.last + 1 - wanted.start
        return await _send(request, headers, pieces, status=206, length=size)
    headers["Content-MD5"] = kept.digest.removeprefix("md5-")
    return await _send(request, headers, database.attachment_pieces(kept), length=kept.length)


async def _send(
    request: web.Request,
    headers: dict[str, str],
    pieces: AsyncIterator[bytes],
    *,
    status: int = 200,
    length: int,
) -> web.StreamResponse:
    async with Stream(request, headers, status=status, length=length) as out:
        if request.method != "HEAD":
            async for piece in pieces:
                await out.write(piece)
        return await out.finish()


async def _send_packed(
    request: web.Request, database: Database, kept: KeptAttachment, headers: dict[str, str]
) -> web.StreamResponse:
    headers["Vary"] = "Accept-Encoding"
    if accepts_gzip(request):
        headers["Content-Encoding"] = kept.encoding or ""
        return await _send(request, headers, database.attachment_pieces(kept), length=kept.kept_length)
    return await _send(request, headers, _unpacked(database, kept), length=kept.length)


async def _unpacked(database: Database, kept: KeptAttachment) -> AsyncIterator[bytes]:
    unpacking = Unpacking()
    async for packed in database.attachment_pieces(kept):
        for piece in unpacking.feed(packed):
            yield piece


async def _send_ranges(
    request: web.Request,
    database: Database,
    kept: KeptAttachment,
    headers: dict[str, str],
    ranges: list[ByteRange],
) -> web.StreamResponse:
    boundary = new_boundary()
    headers |= {"Content-Type": f'multipart/byteranges; boundary="{boundary.decode()}"'}
    async with Stream(request, headers, status=206) as out:
        before = opening(boundary)
        for wanted in ranges:
            described = [
                ("Content-Type", header_content_type(kept)),
                ("Content-Range", wanted.of(kept.length)),
            ]
            await out.write(before + part_head(described))
            async for piece in database.attachment_pieces(kept, wanted.start, wanted.last + 1):
                await out.write(piece)
            before = delimiter(boundary)
        await out.write(before + CLOSING)
        return await out.finish()


async def put(call: Call) -> web.Response:
    """`PUT /{db}/{doc}/{attachment}`: a new revision of the document that has this attachment.

    What comes packed (`Content-Encoding: gzip`) is unpacked by the HTTP server, and kept so.
    """
    name = call.request.match_info["attachment"]
    encoding = call.request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BadContentType("Only gzip and identity content-encodings are supported")
    data = await _read(call.request, name)
    told = call.request.headers.get("Content-MD5")
    if told is not None and encoding == "identity" and told.strip() != digest_of(data).removeprefix("md5-"):
        raise ContentMd5Mismatch
    # A header may hold bytes that are no text, and then no JSON can.
    content_type = UNPRINTABLE.sub("?", call.request.headers.get("Content-Type", "application/octet-stream"))
    return await _edit(call, Attachment(content_type, digest_of(data), len(data), data=data), status=201)


async def _read(request: web.Request, name: str) -> bytes:
    try:
        return b"".join([piece async for piece in body_pieces(request, limit=MAX_ATTACHMENT_BYTES)])
    except TooLarge as error:
        raise AttachmentTooLarge(name) from error


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/{doc}/{attachment}`: a new revision without it."""
    return await _edit(call, None, status=200)


async def _edit(call: Call, attachment: Attachment | None, *, status: int) -> web.Response:
    doc_id = call.document_id()
    name = call.request.match_info["attachment"]
    check_attachment_name(name)
    database = await call.database()
    base = base_rev(call.request)
    body, attachments = b"{}", {}
    if base is not None or attachment is None:
        try:
            _, revision = await open_revision(database, doc_id, base)
        except NotFound as error:
            if base is None:
                raise
            raise Conflict("missing_rev") from error
        body = revision.body
        attachments = {
            other: Attachment(kept.content_type, kept.digest, kept.length, kept.revpos)
            for other, kept in revision.attachments.items()
        }
        if attachment is None and name not in attachments:
            raise NotFound("Document is missing attachment")
    attachments.pop(name, None)
    location = None
    if attachment is not None:
        attachments[name] = attachment
        location = location_of(call.request)
    edit = Edit(doc_id, () if base is None else (base,), body, attachments=attachments)
    return await write_one(call, Incoming(doc_id, None, edit=edit), status=status, location=location)

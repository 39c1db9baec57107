"""Bodies of requests that are read as they arrive."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from replication.errors import TooLarge
from replication.http.answers import MAX_REQUEST_BYTES
from replication.http.streaming import ConnectionCut, cut
from replication.wire.decode import Incoming, check_utf8, decode_document
from replication.wire.related import Related, RelatedReader

DECODED_AT_ONCE = 1024 * 1024
"""Bytes that are digested on the event loop; more would hold up every other client."""


async def body_pieces(request: web.Request, *, limit: int = MAX_REQUEST_BYTES) -> AsyncIterator[bytes]:
    """The body, unpacked, in pieces as the network gives them. Raises TooLarge, ConnectionCut."""
    too_large = TooLarge(f"the request is larger than {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    size = 0
    try:
        while piece := await request.content.readany():
            size += len(piece)
            if size > limit:
                raise too_large
            yield piece
    except web.RequestPayloadError as error:
        # Where the body ends is unknown, so there is no place for an answer either.
        raise cut(request, f"the body cannot be unpacked: {error}") from error
    except ConnectionError as error:
        raise ConnectionCut("the client went away while it was sending") from error


async def read_related_document(request: web.Request, doc_id: str, *, replicated: bool) -> Incoming:
    """The document of a `multipart/related` body with the attachments behind it.

    Raises BadRequest, BadContentType, ContentMd5Mismatch, AttachmentTooLarge, TooLarge, ConnectionCut.
    """
    reader = RelatedReader(request.headers["Content-Type"])
    async for piece in body_pieces(request):
        reader.feed(piece)
    related = reader.finish()
    check_utf8(related.document)
    if sum(len(part.data) for part in related.parts) < DECODED_AT_ONCE:
        return _decoded(related, doc_id, replicated=replicated)
    return await asyncio.to_thread(_decoded, related, doc_id, replicated=replicated)


def _decoded(related: Related, doc_id: str, *, replicated: bool) -> Incoming:
    return decode_document(related.document, doc_id=doc_id, replicated=replicated, parts=related.parts)

"""Documents with their attachments behind them, read as they arrive."""

import asyncio

from aiohttp import web

from replication.http.intake import body_pieces
from replication.wire.decode import Incoming, check_utf8, decode_document
from replication.wire.related import Related, RelatedReader

DECODED_AT_ONCE = 1024 * 1024
"""Bytes that are digested on the event loop; more would hold up every other client."""


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

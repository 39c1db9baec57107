"""Attachments by their own URL."""

import re

from aiohttp import web

from replication.edits import Attachment, Edit
from replication.errors import Conflict, NotFound
from replication.http.answers import not_modified, read_body, rev_of, unchanged
from replication.http.call import Call
from replication.http.documents import base_rev, open_revision, write_one
from replication.wire.decode import Incoming, check_attachment_name, digest_of

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
"""No header may hold these, and a document may name any content type."""


async def get(call: Call) -> web.Response:
    """`GET /{db}/{doc}/{attachment}`."""
    doc_id = call.document_id()
    database = await call.database()
    asked = call.request.query.get("rev")
    _, revision = await open_revision(database, doc_id, None if asked is None else rev_of(asked))
    kept = revision.attachments.get(call.request.match_info["attachment"])
    if kept is None:
        raise NotFound("Document is missing attachment")
    etag = f'"{kept.digest.removeprefix("md5-")}"'
    if unchanged(call.request, etag):
        return not_modified(etag)
    headers = {
        "Content-Type": _UNPRINTABLE.sub("?", kept.content_type) or "application/octet-stream",
        "ETag": etag,
        "Cache-Control": "must-revalidate",
        "Accept-Ranges": "none",
        # Whoever wrote it chose type and content: it must not run scripts in the origin of this server.
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=await database.attachment_data(kept), headers=headers)


async def put(call: Call) -> web.Response:
    """`PUT /{db}/{doc}/{attachment}`: a new revision of the document that has this attachment."""
    data = await read_body(call.request)
    content_type = call.request.headers.get("Content-Type", "application/octet-stream")
    # A header may hold bytes that are no text, and then no JSON can.
    content_type = _UNPRINTABLE.sub("?", content_type)
    return await _edit(call, Attachment(content_type, digest_of(data), len(data), data=data), status=201)


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
    if attachment is not None:
        attachments[name] = attachment
    edit = Edit(doc_id, () if base is None else (base,), body, attachments=attachments)
    return await write_one(call, Incoming(doc_id, None, edit=edit), status=status)

"""Attachments by their own URL."""

import base64

from aiohttp import web

from replication.edits import Attachment, Edit
from replication.errors import NotFound
from replication.http.answers import read_body, rev_of
from replication.http.call import Call
from replication.http.documents import base_rev, write_one
from replication.store.bodies import Revision
from replication.store.database import Database
from replication.values import Rev
from replication.wire.decode import Incoming, digest_of


async def _revision(database: Database, doc_id: str, rev: Rev | None) -> Revision:
    wanted = rev or (await database.winner(doc_id)).rev
    _, found = await database.revisions(doc_id, lambda _: [wanted])
    revision = found[0][1]
    if revision is None:
        raise NotFound("missing")
    return revision


async def get(call: Call) -> web.Response:
    """`GET /{db}/{doc}/{attachment}`."""
    doc_id = call.document_id()
    database = await call.database()
    asked = call.request.query.get("rev")
    revision = await _revision(database, doc_id, None if asked is None else rev_of(asked))
    kept = revision.attachments.get(call.request.match_info["attachment"])
    if kept is None:
        raise NotFound("Document is missing attachment")
    etag = base64.b64encode(base64.b64decode(kept.digest.removeprefix("md5-"))).decode()
    return web.Response(
        body=await database.attachment_data(kept),
        headers={"Content-Type": kept.content_type, "ETag": f'"{etag}"', "Accept-Ranges": "none"},
    )


async def put(call: Call) -> web.Response:
    """`PUT /{db}/{doc}/{attachment}`: a new revision of the document that has this attachment."""
    data = await read_body(call.request)
    content_type = call.request.headers.get("Content-Type", "application/octet-stream")
    return await _edit(call, Attachment(content_type, digest_of(data), len(data), data=data), status=201)


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/{doc}/{attachment}`: a new revision without it."""
    return await _edit(call, None, status=200)


async def _edit(call: Call, attachment: Attachment | None, *, status: int) -> web.Response:
    doc_id = call.document_id()
    name = call.request.match_info["attachment"]
    database = await call.database()
    base = base_rev(call.request)
    body, attachments = b"{}", {}
    if base is not None or attachment is None:
        revision = await _revision(database, doc_id, base)
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
    return await write_one(call, Incoming(doc_id, None, edit=edit), new_edits=True, status=status)

"""COPY: a document under another id, with its attachments, decided as any other edit of the target."""

from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDictProxy

from replication.edits import Attachment, Edit
from replication.errors import BadRequest
from replication.http.answers import rev_of
from replication.http.call import Call
from replication.http.documents import open_revision, store_one
from replication.values import Rev
from replication.wire.decode import Incoming, check_id


async def copy(call: Call) -> web.Response:
    """`COPY /{db}/{doc}` with `rev`; the `Destination` header is the new id, with `?rev=` of what it
    replaces.
    """
    source = call.document_id()
    target, base = destination(call.request.headers)
    database = await call.database()
    asked = call.request.query.get("rev")
    _, revision = await open_revision(database, source, None if asked is None else rev_of(asked))
    # With their data, for the target's own ancestors need not have them.
    attachments = {
        name: Attachment(
            kept.content_type,
            kept.digest,
            kept.length,
            data=await database.attachment_data(kept),
            encoding=kept.encoding,
        )
        for name, kept in revision.attachments.items()
    }
    edit = Edit(target, () if base is None else (base,), revision.body, revision.deleted, attachments)
    return await store_one(call, Incoming(target, None if base is None else str(base), edit=edit))


def destination(headers: CIMultiDictProxy[str]) -> tuple[str, Rev | None]:
    """The id and the revision that a COPY names. Raises BadRequest, IllegalDocId, Forbidden."""
    named = headers.get("Destination", "")
    if not named:
        raise BadRequest("Destination header is mandatory for COPY.")
    if named.startswith(("http://", "https://")):
        raise BadRequest("Destination URL must be relative.")
    path, _, query = named.partition("?")
    try:
        doc_id = unquote(path, errors="strict").lstrip("/")
    except UnicodeDecodeError as error:
        raise BadRequest("the Destination is not UTF-8") from error
    check_id(doc_id)
    parameters = dict(pair.partition("=")[::2] for pair in query.split("&"))
    return doc_id, rev_of(unquote(parameters["rev"])) if "rev" in parameters else None

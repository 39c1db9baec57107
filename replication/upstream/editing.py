"""Interactive edits that bring no document of their own: deleting, copying, attachments by their URL.

They are told to `Access.admit` like every other write, as a document of the id that they make a revision of,
and sent on with the revision that they name and no other parameter.
"""

from aiohttp import web

from replication.edits import Edit
from replication.errors import CouchError
from replication.http.copying import destination
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask
from replication.upstream.passing import json_headers, pass_on_write
from replication.upstream.pushing import admitted
from replication.wire.decode import Incoming, decode_document


async def delete(call: UpstreamCall) -> web.StreamResponse:
    """`DELETE /{db}/{doc}?rev=…`."""
    doc_id = call.document_id()
    await admitted(call, Incoming(doc_id, None, edit=Edit(doc_id, (), b"{}", deleted=True)))
    return await pass_on_write(call, parameters=("rev",), judged=True)


async def edit_attachment(call: UpstreamCall) -> web.StreamResponse:
    """`PUT` and `DELETE /{db}/{doc}/{attachment}`; what is put streams."""
    doc_id = call.document_id()
    await admitted(call, Incoming(doc_id, None, edit=Edit(doc_id, (), b"{}")))
    return await pass_on_write(call, parameters=("rev",), judged=True)


async def copy(call: UpstreamCall) -> web.StreamResponse:
    """`COPY /{db}/{doc}`: the content is read first, for the copy is judged by it."""
    call.document_id()
    target, _ = destination(call.request.headers)
    incoming = decode_document(await _content(call), doc_id=target)
    await admitted(call, incoming)
    return await pass_on_write(call, parameters=("rev",), judged=True)


async def _content(call: UpstreamCall) -> bytes:
    """The document's JSON. Raises what reading it is refused for."""
    ask = Ask(method="GET", path=call.path, query=call.query_of("rev"), headers=json_headers())
    async with call.upstream.exchange(call.request, ask) as answer:
        answer.check_login()
        if answer.status >= 400:
            failure: CouchError = await answer.failure()
            raise failure
        return await answer.read()

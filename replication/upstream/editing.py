"""Interactive edits that bring no document of their own: deleting, copying, attachments by their URL.

They are told to `Access.admit` like every other write, as a document of the id that they make a revision of,
and sent on with the revision that they name and no other parameter.

A COPY names two documents, and its content comes from neither side's request:

    what is judged                            what is sent
    --------------------------------------    ------------------------------------------------------------
    the revision that is there when it is     that revision, though there may be a newer one by now
    read, or that the request names
    the destination as it is read here        the same, written anew: servers unpack `+`, `%2F` and a slash
                                              in front in more than one way
"""

from urllib.parse import quote, urlencode

import msgspec
from aiohttp import web

from replication.edits import Edit
from replication.errors import CouchError
from replication.http.copying import destination
from replication.http.documents import base_rev
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask
from replication.upstream.passing import check_login_of_write, json_headers, pass_back, pass_on_write
from replication.upstream.pushing import admitted
from replication.values import Rev
from replication.wire.attachments import check_attachment_name
from replication.wire.decode import Incoming, decode_document


async def delete(call: UpstreamCall) -> web.StreamResponse:
    """`DELETE /{db}/{doc}?rev=…`."""
    doc_id = call.document_id()
    await admitted(call, Incoming(doc_id, None, edit=Edit(doc_id, (), b"{}", deleted=True)))
    return await pass_on_write(call, parameters=("rev",), judged=True)


async def edit_attachment(call: UpstreamCall) -> web.StreamResponse:
    """`PUT` and `DELETE /{db}/{doc}/{attachment}`; what is put streams."""
    doc_id = call.document_id()
    check_attachment_name(call.request.match_info["attachment"])
    await admitted(call, Incoming(doc_id, None, edit=Edit(doc_id, (), b"{}")))
    return await pass_on_write(call, parameters=("rev",), judged=True)


async def copy(call: UpstreamCall) -> web.StreamResponse:
    """`COPY /{db}/{doc}`: the content is read first, for the copy is judged by it."""
    call.document_id()
    target, base = destination(call.request.headers)
    read = decode_document(await _content(call, base_rev(call.request)), doc_id=target)
    await admitted(call, _copied(read, base))
    ask = Ask(
        method="COPY",
        path=call.path,
        query=_rev_query(read.rev),
        headers=json_headers({"Destination": _named(target, base)}),
    )
    async with call.upstream.exchange(call.request, ask) as answer:
        await check_login_of_write(call, answer)
        return await pass_back(call, answer, judged=True)


def _copied(read: Incoming, base: Rev | None) -> Incoming:
    """What was read, as an edit of the document that it becomes."""
    edit = read.edit and msgspec.structs.replace(read.edit, path=() if base is None else (base,))
    return msgspec.structs.replace(read, rev=None if base is None else str(base), edit=edit)


def _named(target: str, base: Rev | None) -> str:
    """The `Destination` header that says this."""
    # Not every server unpacks it, and ids have colons: what need not be packed is not.
    doc_id = quote(target, safe="/:")
    return doc_id if base is None else f"{doc_id}?{_rev_query(str(base))}"


def _rev_query(rev: str | None) -> str:
    return "" if rev is None else urlencode({"rev": rev})


async def _content(call: UpstreamCall, rev: Rev | None) -> bytes:
    """The document's JSON. Raises what reading it is refused for."""
    query = _rev_query(None if rev is None else str(rev))
    ask = Ask(method="GET", path=call.path, query=query, headers=json_headers())
    async with call.upstream.exchange(call.request, ask) as answer:
        answer.check_login()
        if answer.status >= 400:
            failure: CouchError = await answer.failure()
            raise failure
        return await answer.read()

"""Writes: judged and put on record here, then sent on.

what happens                                          what follows
--------------------------------------------------    --------------------------------------------------
the policy refuses a document                         it is not sent; `forbidden` in its row
the server behind refuses one                         told to `Access.refused`; `forbidden` in its row
… the whole batch for one                             `bisecting` finds it
… the whole batch of interactive edits                that failure: an edit may not be made twice
a failure after the record                            the entry stays, the client sends again
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from aiohttp import hdrs, web

from replication.edits import Edit
from replication.errors import BadRequest, Conflict, CouchError, NotFound, Unavailable
from replication.http.answers import error_row, failure_of, json_answer
from replication.http.bulk import read_bulk_docs
from replication.http.documents import read_post, read_put
from replication.upstream.bisecting import Answered, Outgoing, Row, push
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask
from replication.upstream.outgoing import bulk_json, document_json, following, in_parts
from replication.upstream.passing import asked_headers, check_login_of_write, json_headers, pass_back
from replication.upstream.refusals import REFUSED_WHOLE, refusal_of
from replication.wire.decode import Incoming, Refusal

_rows = msgspec.json.Decoder(list[Row])


def new_uuid() -> str:
    """An id for a document that its client leaves to the server to name."""
    return uuid.uuid4().hex


async def bulk_docs(call: UpstreamCall) -> web.StreamResponse:
    """`POST /{db}/_bulk_docs`, answered as the embedded store does (`replication.http.bulk`)."""
    request = await read_bulk_docs(call, new_uuid)
    refused = await call.access.admit(call.database_name, request.docs)
    # The policy has the last word on a document that was refused already: it may name the refusal anew.
    refusals: dict[int, Refusal] = {}
    outgoing: dict[int, Outgoing] = {}
    for at, (incoming, policy) in enumerate(zip(request.docs, refused, strict=True)):
        refusal = policy or incoming.refusal
        if refusal is not None:
            refusals[at] = refusal
        elif incoming.edit is not None:
            json = document_json(incoming, incoming.edit, replicated=not request.new_edits)
            outgoing[at] = Outgoing(incoming.id, incoming.rev, json)
    if not outgoing:
        # Nothing to store; whether there is such a database is to be told all the same.
        await _sent(call, [], new_edits=request.new_edits)
    if request.new_edits:
        return await _edited(call, request.docs, refusals, outgoing)
    return await _replicated(call, request.docs, refusals, outgoing)


async def _replicated(
    call: UpstreamCall,
    docs: Sequence[Incoming],
    refusals: dict[int, Refusal],
    outgoing: Mapping[int, Outgoing],
) -> web.StreamResponse:
    async def send(some: Sequence[Outgoing]) -> Answered:
        return await _sent(call, some, new_edits=False)

    status = 201
    if outgoing:
        places = list(outgoing)
        pushed = await push(list(outgoing.values()), send)
        status = pushed.status
        late = {places[at]: refusal for at, refusal in pushed.refusals.items()}
        await _tell_refused(call, docs, late)
        refusals |= late
    rows = [
        error_row(docs[at].id, docs[at].rev, refusals[at].error, refusals[at].reason)
        for at in sorted(refusals)
    ]
    return json_answer(rows, status=status)


async def _tell_refused(
    call: UpstreamCall, docs: Sequence[Incoming], refusals: Mapping[int, Refusal]
) -> None:
    if refusals:
        told = [(docs[at], refusals[at]) for at in sorted(refusals)]
        await call.access.refused(call.database_name, told)


async def _edited(
    call: UpstreamCall,
    docs: Sequence[Incoming],
    refusals: dict[int, Refusal],
    outgoing: Mapping[int, Outgoing],
) -> web.StreamResponse:
    status = 201
    written: Iterator[Row] = iter(())
    if outgoing:
        answered = await _sent(call, list(outgoing.values()), new_edits=True)
        if answered.failure is not None:
            raise answered.failure
        if len(answered.rows) != len(outgoing):
            raise Unavailable("the store's answer does not tell of every document")
        status, written = answered.status, iter(answered.rows)
    rows: list[Mapping[str, object]] = []
    late: dict[int, Refusal] = {}
    for at, incoming in enumerate(docs):
        refusal = refusals.get(at)
        if refusal is not None:
            rows.append(error_row(incoming.id, incoming.rev, refusal.error, refusal.reason))
            continue
        row = next(written)
        if row.error:
            late[at] = Refusal(row.error, row.reason or "")
            rows.append(error_row(row.id, incoming.rev, row.error, row.reason or ""))
        else:
            rows.append({"ok": True, "id": row.id, "rev": row.rev})
    await _tell_refused(call, docs, late)
    return json_answer(rows, status=status)


async def _sent(call: UpstreamCall, docs: Sequence[Outgoing], *, new_edits: bool) -> Answered:
    ask = Ask(
        method="POST",
        path=call.path,
        headers=json_headers(),
        body=bulk_json([each.json for each in docs], new_edits=new_edits),
        repeatable=not new_edits,
    )
    async with call.upstream.exchange(call.request, ask) as answer:
        if answer.status in REFUSED_WHOLE:
            return Answered(answer.status, failure=await answer.failure())
        answer.check_login()
        if answer.status >= 400:
            raise await answer.failure()
        text = await answer.read()
    try:
        return Answered(answer.status, _rows.decode(text))
    except msgspec.DecodeError as error:
        raise Unavailable("the store's answer is none to a batch of documents") from error


async def put(call: UpstreamCall) -> web.StreamResponse:
    """`PUT /{db}/{doc}`, alone or with its attachments behind it."""
    incoming, new_edits = await read_put(call)
    return await _written(call, incoming, "PUT", new_edits=new_edits)


async def post(call: UpstreamCall) -> web.StreamResponse:
    """`POST /{db}`: a document with its id inside, or one that gets an id here."""
    return await _written(call, await read_post(call, new_uuid), "POST", new_edits=True)


async def _written(
    call: UpstreamCall, incoming: Incoming, method: str, *, new_edits: bool
) -> web.StreamResponse:
    edit = await admitted(call, incoming)
    json = document_json(incoming, edit, replicated=not new_edits)
    headers = asked_headers(call.request) | json_headers()
    follow = following(incoming)
    if follow:
        parts = in_parts(json, edit, follow)
        headers[hdrs.CONTENT_TYPE], json = parts.content_type, parts.body
    query = call.query_of("rev") if new_edits else "new_edits=false"
    ask = Ask(
        method=method, path=call.path, query=query, headers=headers, body=json, repeatable=not new_edits
    )
    async with call.upstream.exchange(call.request, ask) as answer:
        await check_login_of_write(call, answer)
        if answer.status >= 400:
            failure = await answer.failure()
            await _tell_late(call, incoming, failure)
            raise failure
        return await pass_back(call, answer)


async def admitted(call: UpstreamCall, incoming: Incoming) -> Edit:
    """What may be written, once it is on record. Raises what the policy refuses it for."""
    (policy,) = await call.access.admit(call.database_name, [incoming])
    refusal = policy or incoming.refusal
    if refusal is not None:
        raise failure_of(refusal)
    if incoming.edit is None:
        raise BadRequest("no document")
    return incoming.edit


async def _tell_late(call: UpstreamCall, incoming: Incoming, failure: CouchError) -> None:
    if isinstance(failure, NotFound | Conflict):
        return  # no database; or an edit that its writer bases on another revision now
    refusal = refusal_of(failure.error, failure.reason, replicated=False)
    await call.access.refused(call.database_name, [(incoming, refusal)])

"""The replication endpoints of a push: which revisions are missing, and sending them."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from replication.http.access import Operation
from replication.http.answers import error_row, json_answer, read_json, read_json_body, rev_of
from replication.http.call import Asked, Call
from replication.http.stubs import as_refusal, refuse_missing_stubs
from replication.values import Rev
from replication.wire.decode import BulkDocs, Incoming, NewId, Refusal, decode_bulk_docs

DECODED_AT_ONCE = 1024 * 1024
"""Bytes of a batch that are decoded on the event loop; a larger one would hold up every other client."""


async def revs_diff(call: Call) -> web.Response:
    """`POST /{db}/_revs_diff`."""
    asked = await read_json(call.request, dict[str, list[str]])
    wanted: Mapping[str, list[Rev]] = {
        doc_id: [rev_of(text) for text in revs] for doc_id, revs in asked.items()
    }
    database = await call.database()
    answer: dict[str, dict[str, list[str]]] = {}
    for doc_id, (missing, ancestors) in (await database.revs_diff(wanted)).items():
        answer[doc_id] = {"missing": [str(rev) for rev in missing]}
        if ancestors:
            answer[doc_id]["possible_ancestors"] = [str(rev) for rev in ancestors]
    return json_answer(answer)


async def missing_revs(call: Call) -> web.Response:
    """`POST /{db}/_missing_revs`: the same question, in the form that older replicators ask it."""
    asked = await read_json(call.request, dict[str, list[str]])
    wanted = {doc_id: [rev_of(text) for text in revs] for doc_id, revs in asked.items()}
    found = await (await call.database()).revs_diff(wanted)
    missing = {doc_id: [str(rev) for rev in absent] for doc_id, (absent, _) in found.items()}
    return json_answer({"missing_revs": missing})


async def bulk_docs(call: Call) -> web.Response:
    """`POST /{db}/_bulk_docs`. Interactive edits are answered row by row in their order; a replicated batch
    with a row for each document that was *not* stored.
    """
    database = await call.database()
    request = await read_bulk_docs(call, call.registry.new_uuid)
    docs = request.docs if request.new_edits else await refuse_missing_stubs(database, request.docs)
    refused = await call.access.admit(database.name, docs)
    # The policy has the last word on a document that was refused already: it may name the refusal anew.
    refusals = [policy or incoming.refusal for incoming, policy in zip(docs, refused, strict=True)]
    edits = [
        incoming.edit
        for incoming, refusal in zip(docs, refusals, strict=True)
        if refusal is None and incoming.edit is not None
    ]
    author = call.access.author
    written = iter(await database.write(edits, new_edits=request.new_edits, author=author) if edits else ())
    rows: list[Mapping[str, object]] = []
    refused_by_store: list[tuple[Incoming, Refusal]] = []
    for incoming, refusal in zip(docs, refusals, strict=True):
        if refusal is not None:
            rows.append(error_row(incoming.id, incoming.rev, refusal.error, refusal.reason))
            continue
        outcome = next(written)
        failure = outcome.failure
        if failure is not None:
            failure = failure if request.new_edits else as_refusal(failure)
            rows.append(error_row(outcome.id, incoming.rev, failure.error, failure.reason))
            refused_by_store.append((incoming, Refusal(failure.error, failure.reason)))
        elif request.new_edits:
            rows.append({"ok": True, "id": outcome.id, "rev": outcome.rev})
    if refused_by_store:
        await call.access.refused(database.name, refused_by_store)
    return json_answer(rows, status=201)


async def read_bulk_docs(call: Asked, new_id: NewId) -> BulkDocs:
    """The batch of a request, its documents without an id named by `new_id`. Raises Forbidden where it edits
    and its caller may not, and what reading and decoding raise.
    """
    request = await _decoded(await read_json_body(call.request), new_id)
    if request.new_edits:
        await call.authorize(Operation.EDIT)
    return request


async def _decoded(body: bytes, new_id: NewId) -> BulkDocs:
    if len(body) < DECODED_AT_ONCE:
        return decode_bulk_docs(body, new_id=new_id)
    return await asyncio.to_thread(decode_bulk_docs, body, new_id=new_id)

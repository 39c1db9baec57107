"""The replication endpoints: which revisions are missing, pushing them, pulling them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from replication.errors import BadRequest, CouchError, Forbidden, IllegalDocId, NotFound
from replication.http.access import Operation
from replication.http.answers import error_row, flag, json_answer, read_json, read_json_body, rev_of
from replication.http.call import Call
from replication.http.documents import ReadOptions, all_leaves, chosen, read_options, readable_json
from replication.http.streaming import JsonStream
from replication.revtree import RevTree
from replication.store.database import Database
from replication.values import Rev
from replication.wire.decode import BulkDocs, check_id, decode_bulk_docs

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
    request = await _decoded(call, await read_json_body(call.request))
    if request.new_edits:
        await call.authorize(Operation.EDIT)
    refused = await call.access.admit(database.name, request.docs)
    # The policy has the last word on a document that was refused already: it may name the refusal anew.
    refusals = [policy or incoming.refusal for incoming, policy in zip(request.docs, refused, strict=True)]
    edits = [
        incoming.edit
        for incoming, refusal in zip(request.docs, refusals, strict=True)
        if refusal is None and incoming.edit is not None
    ]
    written = iter(await database.write(edits, new_edits=request.new_edits) if edits else ())
    rows: list[Mapping[str, object]] = []
    for incoming, refusal in zip(request.docs, refusals, strict=True):
        if refusal is not None:
            rows.append(error_row(incoming.id, incoming.rev, refusal.error, refusal.reason))
            continue
        outcome = next(written)
        failure = outcome.failure
        if failure is not None:
            rows.append(error_row(outcome.id, incoming.rev, failure.error, failure.reason))
        elif request.new_edits:
            rows.append({"ok": True, "id": outcome.id, "rev": outcome.rev})
    return json_answer(rows, status=201)


async def _decoded(call: Call, body: bytes) -> BulkDocs:
    new_id = call.registry.new_uuid
    if len(body) < DECODED_AT_ONCE:
        return decode_bulk_docs(body, new_id=new_id)
    return await asyncio.to_thread(decode_bulk_docs, body, new_id=new_id)


class _BulkGet(msgspec.Struct):
    docs: list[Any]


async def bulk_get(call: Call) -> web.StreamResponse:
    """`POST /{db}/_bulk_get` as JSON, written document by document. Each row is judged by itself."""
    asked = await read_json(call.request, _BulkGet)
    database = await call.database()
    options = read_options(call.request)
    latest = flag(call.request, "latest")
    async with JsonStream(call.request) as out:
        await out.write(b'{"results":[')
        for index, wanted in enumerate(asked.docs):
            if index:
                await out.write(b",\n")
            await _bulk_get_row(call, database, wanted, options, latest=latest, out=out)
        await out.write(b"]}\n")
        return await out.finish()


async def _bulk_get_row(
    call: Call, database: Database, wanted: object, options: ReadOptions, *, latest: bool, out: JsonStream
) -> None:
    if not isinstance(wanted, dict):
        await _refused_row(out, None, None, BadRequest("document must be a JSON object"))
        return
    doc_id, rev = wanted.get("id"), wanted.get("rev")
    try:
        doc_id, asked = _wanted(wanted)
        call.check_readable(doc_id)
    except (Forbidden, BadRequest, IllegalDocId) as error:
        await _refused_row(out, doc_id, rev, error)
        return

    def choose(tree: RevTree) -> Sequence[Rev]:
        return all_leaves(tree) if asked is None else chosen(tree, [asked], latest=latest)

    tree, found = await database.revisions(doc_id, choose)
    if not found:
        await _refused_row(out, doc_id, "undefined", NotFound("missing"))
        return
    await out.write(_row_head(doc_id))
    for index, (shown, revision) in enumerate(found):
        if index:
            await out.write(b",")
        if revision is None:
            row = error_row(doc_id, str(shown), "not_found", "missing")
            await out.write(msgspec.json.encode({"error": row}))
        else:
            await out.write(b'{"ok":' + await readable_json(database, tree, revision, options) + b"}")
    await out.write(b"]}")


def _wanted(wanted: Mapping[str, object]) -> tuple[str, Rev | None]:
    if "id" not in wanted:
        raise BadRequest("document id missed")
    doc_id, rev = wanted["id"], wanted.get("rev")
    if not isinstance(doc_id, str):
        raise IllegalDocId("Document id must be a string")
    check_id(doc_id)
    if rev is None and "rev" not in wanted:
        return doc_id, None
    if not isinstance(rev, str):
        raise BadRequest("Invalid rev format")
    return doc_id, rev_of(rev)


async def _refused_row(out: JsonStream, doc_id: object, rev: object, failure: CouchError) -> None:
    error = {"id": doc_id, "rev": rev, "error": failure.error, "reason": failure.reason}
    await out.write(_row_head(doc_id) + msgspec.json.encode({"error": error}) + b"]}")


def _row_head(doc_id: object) -> bytes:
    return b'{"id":' + msgspec.json.encode(doc_id) + b',"docs":['

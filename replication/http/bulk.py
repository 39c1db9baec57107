"""The replication endpoints: which revisions are missing, pushing them, pulling them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

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
from replication.store.reading import Choose, Opened
from replication.values import Rev
from replication.wire.decode import BulkDocs, check_id, decode_bulk_docs

DECODED_AT_ONCE = 1024 * 1024
"""Bytes of a batch that are decoded on the event loop; a larger one would hold up every other client."""

OPENED_AT_ONCE = 500
"""Documents of a `_bulk_get` that one visit to the file opens at most."""


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
    rows = [_asked_row(call, wanted, latest=latest) for wanted in asked.docs]
    opened = _opened(database, [row for row in rows if isinstance(row, _Asked)])
    async with JsonStream(call.request) as out:
        await out.write(b'{"results":[')
        for index, row in enumerate(rows):
            text = row if isinstance(row, bytes) else await _row(database, row, await anext(opened), options)
            await out.write(b",\n" + text if index else text)
        await out.write(b"]}\n")
        return await out.finish()


class _Asked(NamedTuple):
    doc_id: str
    choose: Choose


async def _opened(database: Database, asked: Sequence[_Asked]) -> AsyncIterator[Opened]:
    """What was asked for in its order, read in few visits to the file, of bounded size each."""
    done = 0
    while done < len(asked):
        found = await database.open_many(asked[done : done + OPENED_AT_ONCE])
        done += len(found)
        for one in found:
            yield one


def _asked_row(call: Call, wanted: object, *, latest: bool) -> _Asked | bytes:
    """What a row asks for, or the answer where it may not be asked."""
    if not isinstance(wanted, dict):
        return _refused_row(None, None, BadRequest("document must be a JSON object"))
    doc_id, rev = wanted.get("id"), wanted.get("rev")
    try:
        doc_id, asked = _wanted(wanted)
        call.check_readable(doc_id)
    except (Forbidden, BadRequest, IllegalDocId) as error:
        return _refused_row(doc_id, rev, error)

    def choose(tree: RevTree) -> Sequence[Rev]:
        return all_leaves(tree) if asked is None else chosen(tree, [asked], latest=latest)

    return _Asked(doc_id, choose)


async def _row(database: Database, asked: _Asked, opened: Opened, options: ReadOptions) -> bytes:
    tree, found = opened
    if not found:
        return _refused_row(asked.doc_id, "undefined", NotFound("missing"))
    docs = []
    for shown, revision in found:
        if revision is None:
            error = error_row(asked.doc_id, str(shown), "not_found", "missing")
            docs.append(msgspec.json.encode({"error": error}))
        else:
            docs.append(b'{"ok":' + await readable_json(database, tree, revision, options) + b"}")
    return _row_head(asked.doc_id) + b",".join(docs) + b"]}"


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


def _refused_row(doc_id: object, rev: object, failure: CouchError) -> bytes:
    error = {"id": doc_id, "rev": rev, "error": failure.error, "reason": failure.reason}
    return _row_head(doc_id) + msgspec.json.encode({"error": error}) + b"]}"


def _row_head(doc_id: object) -> bytes:
    return b'{"id":' + msgspec.json.encode(doc_id) + b',"docs":['

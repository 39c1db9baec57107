"""The replication endpoints: which revisions are missing, pushing them, pulling them."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from replication.errors import BadRequest, Forbidden
from replication.http.access import Operation
from replication.http.answers import error_row, json_answer, read_body, read_json, rev_of
from replication.http.call import Call
from replication.http.documents import ReadOptions, chosen, read_options, readable_json
from replication.store.database import Database
from replication.values import Rev
from replication.wire.decode import Incoming, decode_bulk_docs


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


async def bulk_docs(call: Call) -> web.Response:
    """`POST /{db}/_bulk_docs`. A replicated batch answers with a row for each document that was *not*
    stored.
    """
    database = await call.database()
    request = decode_bulk_docs(await read_body(call.request))
    if request.new_edits:
        await call.authorize(Operation.EDIT)
    rows: list[dict[str, object]] = []
    admitted: list[Incoming] = []
    refusals = await call.access.admit(database.name, request.docs)
    for incoming, refused in zip(request.docs, refusals, strict=True):
        refusal = incoming.refusal or refused
        if refusal is not None:
            rows.append({**error_row(incoming.id, incoming.rev, refusal.error, refusal.reason)})
        elif incoming.edit is not None and not request.new_edits and not incoming.edit.path:
            rows.append({**error_row(incoming.id, None, "forbidden", "a replicated document needs its _rev")})
        else:
            admitted.append(incoming)
    edits = [incoming.edit for incoming in admitted if incoming.edit is not None]
    for written in await database.write(edits, new_edits=request.new_edits):
        if written.failure is not None:
            failure = written.failure
            rows.append({**error_row(written.id, written.rev, failure.error, failure.reason)})
        elif request.new_edits:
            rows.append({"ok": True, "id": written.id, "rev": written.rev})
    return json_answer(rows, status=201)


class _Wanted(msgspec.Struct):
    id: str
    rev: str | None = None


class _BulkGet(msgspec.Struct):
    docs: list[_Wanted]


async def bulk_get(call: Call) -> web.StreamResponse:
    """`POST /{db}/_bulk_get` as JSON, written document by document. Each row is judged by itself."""
    asked = await read_json(call.request, _BulkGet)
    database = await call.database()
    options = read_options(call.request)
    latest = call.request.query.get("latest") == "true"
    response = web.StreamResponse()
    response.content_type = "application/json"
    await response.prepare(call.request)
    await response.write(b'{"results":[')
    for index, wanted in enumerate(asked.docs):
        row = await _bulk_get_row(call, database, wanted, options, latest=latest)
        await response.write(row if index == 0 else b",\n" + row)
    await response.write(b"]}\n")
    await response.write_eof()
    return response


async def _bulk_get_row(
    call: Call, database: Database, wanted: _Wanted, options: ReadOptions, *, latest: bool
) -> bytes:
    try:
        call.check_readable(wanted.id)
        asked = None if wanted.rev is None else rev_of(wanted.rev)
    except (Forbidden, BadRequest) as error:
        row = error_row(wanted.id, wanted.rev or "undefined", error.error, error.reason)
        return _row(wanted.id, [msgspec.json.encode({"error": row})])
    if asked is None:
        asked = (await database.winner_rev(wanted.id)) or Rev(1, "undefined")
    revs = [asked]
    tree, found = await database.revisions(wanted.id, lambda tree: chosen(tree, revs, latest=latest))
    docs = []
    for rev, revision in found:
        if revision is None:
            row = error_row(wanted.id, str(rev), "not_found", "missing")
            docs.append(msgspec.json.encode({"error": row}))
        else:
            docs.append(b'{"ok":' + await readable_json(database, tree, revision, options) + b"}")
    return _row(wanted.id, docs)


def _row(doc_id: str, docs: list[bytes]) -> bytes:
    return b'{"id":' + msgspec.json.encode(doc_id) + b',"docs":[' + b",".join(docs) + b"]}"

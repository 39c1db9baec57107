"""`_index`: definitions of Mango's indexes, written as design documents like any other edit.

A definition goes through the same door as a document: the caller's `admit` judges it, and it replicates.
"""

from typing import Any

import msgspec
from aiohttp import web

from replication.edits import Attachment, Edit
from replication.errors import CouchError, NotFound
from replication.http.answers import failure_of, json_answer, read_json
from replication.http.call import Call
from replication.http.querying import catalogue
from replication.mango.definition import ALL_DOCS, DESIGN, parse_new_index
from replication.mango.query import parse_use_index
from replication.mango.refusal import QueryRefused, shown
from replication.store.bodies import Revision
from replication.store.database import Database
from replication.wire.decode import Incoming, check_id

_QUERY_LANGUAGE = {"language": "query"}


async def list_indexes(call: Call) -> web.Response:
    """`GET /{db}/_index` with `limit` and `skip`."""
    database = await call.database()
    limit, skip = (_parameter(call.request, name) for name in ("limit", "skip"))
    rows = [index.to_json() for index in (ALL_DOCS, *(await catalogue(database)).indexes)]
    shown_rows = rows[skip or 0 :][: len(rows) if limit is None else limit]
    return json_answer({"total_rows": len(rows), "indexes": shown_rows})


def _parameter(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    least = 1 if name == "limit" else 0
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) >= least):
        raise QueryRefused("invalid_list_index_params", "Index parameter ranges: limit > 1, skip > 0")
    return int(text)


async def create(call: Call) -> web.Response:
    """`POST /{db}/_index`. Raises QueryRefused, Forbidden, Conflict."""
    new = parse_new_index(await read_json(call.request, Any))
    check_id(new.ddoc)
    database = await call.database()
    revision, document = await _design(database, new.ddoc)
    views = {**_views(document), new.index.name: new.view}
    changed = {**document, "views": views}
    result = "exists"
    if changed != document:
        result = "created"
        await _write(call, database, _edit(new.ddoc, revision, changed))
    return json_answer({"result": result, "id": new.ddoc, "name": new.index.name})


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/_index/{design}/json/{index}`. Raises NotFound, Forbidden, Conflict."""
    ddoc = DESIGN + call.request.match_info["design"].removeprefix(DESIGN)
    name = call.request.match_info["index"]
    await _delete(call, await call.database(), ddoc, name)
    return json_answer({"ok": True})


async def bulk_delete(call: Call) -> web.Response:
    """`POST /{db}/_index/_bulk_delete`: design documents that define one index each."""
    body = await read_json(call.request, Any)
    asked = body.get("docids") if isinstance(body, dict) else None
    if not isinstance(asked, list):
        reason = f"Bulk Delete requires an array of non-null docids. Docids: {shown(asked)}"
        raise QueryRefused("invalid_bulk_docs", reason)
    ddocs = [DESIGN + named[0] for named in map(parse_use_index, asked) if named]
    database = await call.database()
    success, fail = [], []
    for ddoc in ddocs:
        try:
            await _delete(call, database, ddoc)
        except CouchError as error:
            fail.append({"id": ddoc, "error": error.error})
        else:
            success.append({"id": ddoc, "ok": True})
    return json_answer({"success": success, "fail": fail})


async def _delete(call: Call, database: Database, ddoc: str, name: str | None = None) -> None:
    """Without a name the index is the only one of its design document."""
    indexes = (await catalogue(database)).indexes
    found = [index.name for index in indexes if index.ddoc == ddoc and name in (None, index.name)]
    if len(found) != 1:
        raise NotFound("missing")
    revision, document = await _design(database, ddoc)
    views = {other: view for other, view in _views(document).items() if other != found[0]}
    changed = {member: value for member, value in document.items() if member != "views"}
    if views:
        changed["views"] = views
    await _write(call, database, _edit(ddoc, revision, changed, deleted=changed == _QUERY_LANGUAGE))
    await catalogue(database)


async def _design(database: Database, ddoc: str) -> tuple[Revision | None, dict[str, Any]]:
    """The design document and its content, or None and that of a new one. Raises QueryRefused."""
    try:
        _, revision = await database.winner(ddoc)
    except NotFound:
        return None, _QUERY_LANGUAGE
    document = msgspec.json.decode(revision.body, type=dict[str, Any])
    if document.get("language") != "query":
        language = shown(document.get("language"))
        raise QueryRefused("invalid_ddoc_lang", f"Existing design doc has an invalid language: {language}")
    return revision, document


def _views(document: dict[str, Any]) -> dict[str, Any]:
    views = document.get("views")
    return views if isinstance(views, dict) else {}


def _edit(ddoc: str, revision: Revision | None, content: dict[str, Any], *, deleted: bool = False) -> Edit:
    if revision is None:
        return Edit(ddoc, (), msgspec.json.encode(content))
    if deleted:
        return Edit(ddoc, (revision.rev,), b"{}", deleted=True)
    attachments = {
        name: Attachment(kept.content_type, kept.digest, kept.length, kept.revpos)
        for name, kept in revision.attachments.items()
    }
    return Edit(ddoc, (revision.rev,), msgspec.json.encode(content), attachments=attachments)


async def _write(call: Call, database: Database, edit: Edit) -> None:
    (refusal,) = await call.access.admit(database.name, [Incoming(edit.id, None, edit=edit)])
    if refusal is not None:
        raise failure_of(refusal)
    (written,) = await database.write([edit], new_edits=True, author=call.access.author)
    if written.failure is not None:
        raise written.failure

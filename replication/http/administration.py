"""What an administrator does to one database: its limits, its security object, purging, compaction."""

from typing import Any

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotFound
from replication.http.answers import json_answer, read_body, read_json, read_json_body, rev_of
from replication.http.call import Call
from replication.store import properties, purging
from replication.wire.decode import check_utf8

MAX_PURGED_DOCUMENTS = 100
MAX_PURGED_REVISIONS = 1_000
"""As CouchDB: a purge is one transaction, and others wait for it."""
_HIGHEST_LIMIT = 2**31


async def security(call: Call) -> web.Response:
    """`GET /{db}/_security`."""
    return json_answer(await (await call.database()).read(properties.read_security))


async def set_security(call: Call) -> web.Response:
    """`PUT /{db}/_security`."""
    database = await call.database()
    told = await _body(call, dict[str, Any], "Request body must be a JSON object")
    for group in ("admins", "members"):
        _check_group(group, told.get(group, {}))
    await database.transact(lambda c: properties.set_security(c, told))
    return json_answer({"ok": True})


def _check_group(group: str, told: object) -> None:
    if not isinstance(told, dict):
        raise BadRequest(f"{group} must be a JSON object")
    for kind in ("names", "roles"):
        listed = told.get(kind, [])
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise BadRequest(f"{kind} must be a JSON list of strings")


async def revs_limit(call: Call) -> web.Response:
    """`GET /{db}/_revs_limit`."""
    return json_answer((await (await call.database()).meta())["revs_limit"])


async def set_revs_limit(call: Call) -> web.Response:
    """`PUT /{db}/_revs_limit`: each document is stemmed at its next write."""
    return await _set_limit(call, "revs_limit", "Rev limit has to be an integer greater than 0")


async def purged_infos_limit(call: Call) -> web.Response:
    """`GET /{db}/_purged_infos_limit`."""
    return json_answer((await (await call.database()).meta())["purged_infos_limit"])


async def set_purged_infos_limit(call: Call) -> web.Response:
    """`PUT /{db}/_purged_infos_limit`: the next purge forgets older ones."""
    return await _set_limit(call, "purged_infos_limit", "`purge_infos_limit` must be positive integer")


async def _set_limit(call: Call, name: str, reason: str) -> web.Response:
    database = await call.database()
    limit = await _body(call, int, reason)
    if not 0 < limit < _HIGHEST_LIMIT:
        raise BadRequest(reason)
    await database.transact(lambda c: properties.set_limit(c, name, limit))
    return json_answer({"ok": True})


async def _body(call: Call, kind: Any, reason: str) -> Any:
    text = await read_body(call.request)
    check_utf8(text)
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:
        raise BadRequest(reason) from error


async def purge(call: Call) -> web.Response:
    """`POST /{db}/_purge`."""
    asked = await read_json(call.request, dict[str, list[str]])
    database = await call.database()
    if len(asked) > MAX_PURGED_DOCUMENTS:
        raise BadRequest("Exceeded maximum number of documents.")
    if sum(map(len, asked.values())) > MAX_PURGED_REVISIONS:
        raise BadRequest("Exceeded maximum number of revisions.")
    revs = {doc_id: [rev_of(text) for text in texts] for doc_id, texts in asked.items()}
    purged = await database.transact(lambda c: purging.purge(c, revs))
    answer = {doc_id: [str(rev) for rev in gone] for doc_id, gone in purged.items()}
    return json_answer({"purge_seq": None, "purged": answer}, status=201)


async def purged_infos(call: Call) -> web.Response:
    """`GET /{db}/_purged_infos`: the purges that are remembered."""
    remembered = await (await call.database()).read(purging.purged_infos)
    return json_answer({"purged_infos": [{"id": doc_id, "revs": revs} for doc_id, revs in remembered]})


async def compact(call: Call) -> web.Response:
    """`POST /{db}/_compact`: begins, and answers before it is done; `compact_running` tells."""
    await read_json_body(call.request)
    (await call.database()).compaction.start()
    return json_answer({"ok": True}, status=202)


async def compact_views(call: Call) -> web.Response:
    """`POST /{db}/_compact/{ddoc}`: there are no views, so there is nothing to compact. Raises NotFound."""
    await read_json_body(call.request)
    database = await call.database()
    design = f"_design/{call.request.match_info['ddoc']}"
    found = await database.winners([design])
    if found.get(design, ("", True))[1]:
        raise NotFound("missing")
    return json_answer({"ok": True}, status=202)


async def view_cleanup(call: Call) -> web.Response:
    """`POST /{db}/_view_cleanup`: there are no view files to remove."""
    await read_json_body(call.request)
    await call.database()
    return json_answer({"ok": True}, status=202)

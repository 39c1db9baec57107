"""The server and its databases: info, creation, deletion."""

import asyncio

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotFound
from replication.http.answers import json_answer, read_json, read_json_body
from replication.http.call import Call
from replication.http.documents import location_of
from replication.http.listing_query import list_query
from replication.store.database import Database
from replication.store.properties import read_sizes

COUCHDB_VERSION = "3.5.0"
"""The version whose HTTP API is spoken. Clients choose features by it."""
MAX_INFOS = 100
"""Databases that one request may name."""


async def server_info(call: Call) -> web.Response:
    """`GET /`."""
    return json_answer(
        {
            "couchdb": "Welcome",
            "version": COUCHDB_VERSION,
            "uuid": call.registry.uuid,
            # CouchDB's names for what a client may count on; none of them is here (docs/PROTOCOL.md).
            "features": [],
            "vendor": {"name": "Metricis Sync"},
        }
    )


async def up(call: Call) -> web.Response:
    """`GET /_up`: 404 once the server is stopping, so that a load balancer looks elsewhere."""
    if call.registry.closing:
        return json_answer({"status": "maintenance_mode"}, status=404)
    return json_answer({"status": "ok", "seeds": {}})


async def all_dbs(call: Call) -> web.Response:
    """`GET /_all_dbs` with the parameters of a range."""
    return json_answer(await _names(call))


async def _names(call: Call) -> list[str]:
    """The databases of the range that the URL asks for."""
    query = list_query(call.request.query)
    names = [name for name in await asyncio.to_thread(call.registry.names) if query.ids.holds(name)]
    if query.ids.descending:
        names.reverse()
    return names[query.skip :][: query.limit]


class _Keys(msgspec.Struct):
    keys: list[str]


async def dbs_info(call: Call) -> web.Response:
    """`GET` and `POST /_dbs_info`: the info of several databases, of a range or by name."""
    if call.request.method != "POST":
        return json_answer([await _info_row(call, name) for name in await _names(call)])
    keys = (await read_json(call.request, _Keys)).keys
    if len(keys) > MAX_INFOS:
        raise BadRequest(f"`keys` array exceeds the limit of {MAX_INFOS}")
    return json_answer([await _info_row(call, name) for name in keys])


async def _info_row(call: Call, name: str) -> dict[str, object]:
    try:
        return {"key": name, "info": await _info(await call.registry.open(name))}
    except NotFound:
        # It was asked for by a wrong name, or deleted since the names were listed.
        return {"key": name, "error": "not_found"}


async def info(call: Call) -> web.Response:
    """`GET /{db}`."""
    return json_answer(await _info(await call.database()))


async def _info(database: Database) -> dict[str, object]:
    meta = await database.meta()
    return {
        "db_name": database.name,
        "doc_count": meta["doc_count"],
        "doc_del_count": meta["deleted_count"],
        "update_seq": database.sequence(int(meta["update_seq"])),
        "purge_seq": database.sequence(int(meta["purge_seq"])),
        "compact_running": database.compaction.running,
        "disk_format_version": 8,
        "instance_start_time": _instance(database),
        "sizes": await database.read(read_sizes),
        "props": {},
        "cluster": {"q": 1, "n": 1, "w": 1, "r": 1},
    }


def _instance(database: Database) -> str:
    """What replicators compare to notice a database that was recreated. CouchDB tells when it was created;
    here it is a number of its identity, which a restored backup does not share either.
    """
    return str(int(database.uuid[:12], 16))


async def create(call: Call) -> web.Response:
    """`PUT /{db}`."""
    await call.registry.create(call.database_name)
    return json_answer({"ok": True}, status=201, headers={"Location": location_of(call.request)})


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}`."""
    if "rev" in call.request.query:
        # A script whose document id came out empty means a document.
        raise BadRequest("You tried to DELETE a database with a ?rev= parameter; did you mean a document?")
    await call.registry.delete(call.database_name)
    return json_answer({"ok": True})


async def ensure_full_commit(call: Call) -> web.Response:
    """`POST /{db}/_ensure_full_commit`: every acknowledged write is on disk already."""
    await read_json_body(call.request)
    database = await call.database()
    return json_answer({"ok": True, "instance_start_time": _instance(database)}, status=201)

"""The server and its databases: info, creation, deletion."""

import asyncio

from aiohttp import web

from replication.errors import BadRequest
from replication.http.answers import json_answer, read_json_body
from replication.http.call import Call

COUCHDB_VERSION = "3.5.0"
"""The version whose HTTP API is spoken. Clients choose features by it."""


async def server_info(call: Call) -> web.Response:  # noqa: ARG001
    """`GET /`."""
    return json_answer(
        {
            "couchdb": "Welcome",
            "version": COUCHDB_VERSION,
            "features": ["bulk-get"],
            "vendor": {"name": "Metricis Sync"},
        }
    )


async def up(call: Call) -> web.Response:  # noqa: ARG001
    """`GET /_up`."""
    return json_answer({"status": "ok"})


async def all_dbs(call: Call) -> web.Response:
    """`GET /_all_dbs`."""
    return json_answer(await asyncio.to_thread(call.registry.names))


async def info(call: Call) -> web.Response:
    """`GET /{db}`."""
    database = await call.database()
    meta = await database.meta()
    size = database.path.stat().st_size
    return json_answer(
        {
            "db_name": database.name,
            "doc_count": meta["doc_count"],
            "doc_del_count": meta["deleted_count"],
            "update_seq": database.sequence(int(meta["update_seq"])),
            "purge_seq": 0,
            "compact_running": False,
            "disk_format_version": 8,
            "instance_start_time": "0",
            "sizes": {"file": size, "active": size, "external": size},
            "props": {},
            "cluster": {"q": 1, "n": 1, "w": 1, "r": 1},
        }
    )


async def create(call: Call) -> web.Response:
    """`PUT /{db}`."""
    await call.registry.create(call.database_name)
    return json_answer({"ok": True}, status=201)


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
    await call.database()
    return json_answer({"ok": True, "instance_start_time": "0"}, status=201)

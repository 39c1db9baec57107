"""`_local_docs`: the checkpoints of a database by id, as far as the caller may use them.

They are few (one a replication) and small, so they are read at once, and chosen from here.
"""

import sqlite3

import msgspec
from aiohttp import web

from replication.http.answers import raw_answer
from replication.http.call import Call
from replication.http.listing import parameters_of, queries_of
from replication.http.listing_query import ListQuery, list_query
from replication.http.local import local_json


class _Local(msgspec.Struct, frozen=True):
    id: str
    rev: str
    body: bytes


async def local_docs(call: Call) -> web.Response:
    """`GET` and `POST /{db}/_local_docs`, with the parameters of `_all_docs`; keys begin with `_local/`."""
    query = list_query(await parameters_of(call))
    return raw_answer(_answer(await _usable(call), query) + b"\n")


async def local_docs_queries(call: Call) -> web.Response:
    """`POST /{db}/_local_docs/queries`."""
    queries = await queries_of(call)
    locals_ = await _usable(call)
    results = b",\n".join(_answer(locals_, query) for query in queries)
    return raw_answer(b'{"results":[\n' + results + b"\n]}\n")


async def _usable(call: Call) -> list[_Local]:
    found = await (await call.database()).read(_read_locals)
    return [local for local in found if call.access.may_use_local(local.id.removeprefix("_local/"))]


def _read_locals(connection: sqlite3.Connection) -> list[_Local]:
    rows = connection.execute("SELECT id, rev, json FROM locals ORDER BY id")
    return [_Local(f"_local/{local_id}", f"0-{rev}", body) for local_id, rev, body in rows]


def _answer(locals_: list[_Local], query: ListQuery) -> bytes:
    if query.keys is None:
        chosen = [_row(local, query) for local in locals_ if query.ids.holds(local.id)]
    else:
        named = {local.id: local for local in locals_}
        chosen = [
            _row(named[key], query)
            if key in named
            else msgspec.json.encode({"key": key, "error": "not_found"})
            for key in query.keys
        ]
    if query.ids.descending:
        chosen.reverse()
    shown = chosen[query.skip :][: query.limit]
    # No counts, as CouchDB: nobody keeps them of what is not replicated.
    return b'{"total_rows":null,"offset":null,"rows":[\n' + b",\n".join(shown) + b"\n]}"


def _row(local: _Local, query: ListQuery) -> bytes:
    row = msgspec.json.encode({"id": local.id, "key": local.id, "value": {"rev": local.rev}})
    if query.reading is None:
        return row
    return row[:-1] + b',"doc":' + local_json(local.id, local.rev, local.body) + b"}"

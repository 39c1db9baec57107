"""`_find`: documents that meet a selector; `_explain`: how they would be found.

The answer streams slice by slice, each slice one consistent state. What was written before the request is in
the index it reads (unless `update=false`); what is written meanwhile may or may not be seen, as in CouchDB.
"""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from replication.http.answers import json_answer, read_json
from replication.http.call import Call
from replication.http.streaming import JsonStream
from replication.mango.explain import explanation
from replication.mango.fields import parse_field
from replication.mango.plan import Plan, choose, warnings
from replication.mango.query import NO_BOOKMARK, Place, Query, encode_bookmark, parse_query
from replication.store import finding
from replication.store.database import Database
from replication.store.finding import Found, Search
from replication.store.indexes import Catalogue, catch_up, drop_leftovers, read_catalogue, table_of


async def find(call: Call) -> web.StreamResponse:
    """`POST /{db}/_find`."""
    query = parse_query(await read_json(call.request, Any))
    database = await call.database()
    plan = choose((await catalogue(database)).indexes, query)
    if query.may_update and plan.index.ddoc is not None and not plan.empty:
        await _bring_up_to_date(database, plan)
    fields = tuple(parse_field(name) for name in query.fields)
    return await _Answer(call, database, Search(query, plan, fields, call.access.prefixes)).written()


async def explain(call: Call) -> web.Response:
    """`POST /{db}/_explain`."""
    query = parse_query(await read_json(call.request, Any))
    database = await call.database()
    indexes = (await catalogue(database)).indexes
    return json_answer(explanation(database.name, indexes, query, choose(indexes, query)))


async def catalogue(database: Database) -> Catalogue:
    """The indexes that are defined now; what is left of others is dropped."""
    found = await database.read(read_catalogue)
    if found.leftovers:
        await database.maintain(drop_leftovers)
    return found


async def _bring_up_to_date(database: Database, plan: Plan) -> None:
    wanted = int((await database.meta())["update_seq"])
    known = await database.read(lambda connection: table_of(connection, plan.index))
    reached = -1 if known is None else known[1]
    while reached < wanted:
        reached = await database.maintain(lambda connection: catch_up(connection, plan.index))


class _Answer:
    """Writes the documents of one query and counts them."""

    def __init__(self, call: Call, database: Database, search: Search) -> None:
        self._call = call
        self._database = database
        self._search = search
        self._examined = 0
        self._found = 0
        self._last: Place | None = search.query.after
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()

    async def written(self) -> web.StreamResponse:
        """The whole answer, sent. Raises ConnectionCut."""
        async with JsonStream(self._call.request) as out:
            await out.write(b'{"docs":[\n')
            await self._write_documents(out)
            await out.write(b"\n],\n" + msgspec.json.encode(self._trailer())[1:] + b"\n")
            return await out.finish()

    async def _write_documents(self, out: JsonStream) -> None:
        query = self._search.query
        place, skip, left = query.after, query.skip, query.limit
        while left > 0 and not self._search.plan.empty:
            found = await self._slice(place, skip, left)
            self._examined += found.examined
            for at, document in found.documents:
                await out.write(document if self._found == 0 else b",\n" + document)
                self._found += 1
                self._last = at
            skip -= found.skipped
            left -= len(found.documents)
            place = found.last
            if place is None:
                return

    async def _slice(self, place: Place | None, skip: int, left: int) -> Found:
        return await self._database.read(
            lambda connection: finding.find(connection, self._search, place, skip, left), long=True
        )

    def _trailer(self) -> dict[str, Any]:
        query: Query = self._search.query
        trailer: dict[str, Any] = {
            "bookmark": NO_BOOKMARK if self._last is None else encode_bookmark(self._last)
        }
        if query.execution_stats:
            trailer["execution_stats"] = {
                "total_keys_examined": self._examined,
                "total_docs_examined": self._examined if query.r == 1 else 0,
                "total_quorum_docs_examined": self._examined if query.r > 1 else 0,
                "results_returned": self._found,
                "execution_time_ms": round((self._clock() - self._began) * 1000, 3),
            }
        told = warnings(self._search.plan, query, examined=self._examined, found=self._found)
        return {**trailer, "warning": "\n".join(told)} if told else trailer

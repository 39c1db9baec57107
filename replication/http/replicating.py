"""Replications on demand, and what the scheduler has: `_replicate`, `_scheduler/jobs`, `_scheduler/docs`."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from replication.errors import BadRequest, NotFound, NotImplementedHere
from replication.http.answers import json_answer, number, read_json
from replication.http.call import Call
from replication.replicator.definition import parse_definition
from replication.replicator.documents import DATABASE
from replication.replicator.replicator import Replicator

_DEFAULT_ROWS = 25
STATES = ("initializing", "error", "running", "pending", "crashing", "completed", "failed")


async def replicate(call: Call) -> web.Response:
    """`POST /_replicate`: answered at the end, or with 202 at once where it is continuous."""
    asked = await read_json(call.request, dict[str, Any])
    definition = parse_definition(asked)
    if definition.cancel:
        return json_answer(await _replicator(call).cancel(definition))
    answer = await _replicator(call).replicate(definition)
    return json_answer(answer, status=202 if definition.continuous else 200)


async def jobs(call: Call) -> web.Response:
    """`GET /_scheduler/jobs?skip=&limit=`."""
    return _page(call, "jobs", _replicator(call).jobs())


async def job(call: Call) -> web.Response:
    """`GET /_scheduler/jobs/{job}`. Raises NotFound."""
    return json_answer(_replicator(call).job(call.request.match_info["job"]))


async def docs(call: Call) -> web.Response:
    """`GET /_scheduler/docs[/_replicator]?skip=&limit=&states=`. Raises NotFound for another database."""
    _check_database(call)
    wanted = call.request.query.get("states")
    states = STATES if wanted is None else tuple(wanted.split(","))
    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise BadRequest(f"unknown replication state {unknown[0]!r}; known are {', '.join(STATES)}")
    return _page(call, "docs", [row for row in _replicator(call).documents() if row["state"] in states])


async def doc(call: Call) -> web.Response:
    """`GET /_scheduler/docs/_replicator/{doc}`. Raises NotFound."""
    _check_database(call)
    doc_id = call.request.match_info["doc"]
    for row in _replicator(call).documents():
        if row["doc_id"] == doc_id:
            return json_answer(row)
    raise NotFound("missing")


def _check_database(call: Call) -> None:
    if call.request.match_info.get("replicator", DATABASE) != DATABASE:
        raise NotFound("Database does not exist.")


def _page(call: Call, name: str, rows: Sequence[Mapping[str, Any]]) -> web.Response:
    query = call.request.query
    skip = number(query.get("skip"), "skip", default=0)
    limit = number(query.get("limit"), "limit", default=_DEFAULT_ROWS)
    return json_answer({"total_rows": len(rows), "offset": skip, name: rows[skip : skip + limit]})


def _replicator(call: Call) -> Replicator:
    if call.replicator is None:
        raise NotImplementedHere("this server runs no replications")
    return call.replicator

"""The server as its operators see it: tasks, uuids, and the node that a CouchDB would have."""

from aiohttp import web

from replication.errors import BadRequest, NotFound
from replication.http.answers import json_answer, number
from replication.http.call import Call

NODE = "nonode@nohost"
"""What CouchDB calls a node that belongs to no cluster."""
MAX_UUIDS = 1_000


async def uuids(call: Call) -> web.Response:
    """`GET /_uuids?count=`."""
    count = number(call.request.query.get("count"), "count", default=1)
    if count > MAX_UUIDS:
        raise BadRequest("count parameter too large")
    answer = json_answer({"uuids": [call.registry.new_uuid() for _ in range(count)]})
    # A cache that handed the same ones to two clients would let them write the same documents.
    answer.headers["Cache-Control"] = "no-cache, must-revalidate"
    return answer


async def active_tasks(call: Call) -> web.Response:
    """`GET /_active_tasks`: compactions, and what else was registered with `Registry.task_sources`."""
    return json_answer([{"node": NODE, **task} for task in call.registry.active_tasks()])


async def node(call: Call) -> web.Response:
    """`GET /_node/{node}`. Raises NotFound for any but this one."""
    _check(call.request.match_info["node"])
    return json_answer({"name": NODE})


async def node_detail(call: Call) -> web.Response:
    """`GET, PUT, DELETE /_node/{node}/…`: the settings of this program are not changed over HTTP. Raises
    NotFound.
    """
    _check(call.request.match_info["node"])
    configured = call.request.match_info["detail"].split("/")[0] == "_config"
    raise NotFound("unknown_config_value" if configured else "missing")


def _check(name: str) -> None:
    if name not in ("_local", NODE):
        raise NotFound(f"no such node: {name}")

"""`_local` documents: replicators keep their checkpoints here; they are never replicated."""

import msgspec
from aiohttp import web

from replication.errors import BadRequest, Forbidden
from replication.http.answers import json_answer, raw_answer, read_body
from replication.http.call import Call
from replication.wire.decode import check_utf8


class _Rev(msgspec.Struct):
    rev: str | None = msgspec.field(default=None, name="_rev")


def _local_id(call: Call) -> str:
    local_id = call.request.match_info["local"]
    if not call.access.may_use_local(local_id):
        raise Forbidden(f"_local/{local_id} is not open to this credential")
    return local_id


async def get(call: Call) -> web.Response:
    """`GET /{db}/_local/{id}`."""
    local_id = _local_id(call)
    rev, body = await (await call.database()).local(local_id)
    front = msgspec.json.encode({"_id": f"_local/{local_id}", "_rev": rev})
    return raw_answer(front[:-1] + (b"}" if body == b"{}" else b"," + body[1:]) + b"\n")


async def put(call: Call) -> web.Response:
    """`PUT /{db}/_local/{id}`."""
    local_id = _local_id(call)
    text = await read_body(call.request)
    check_utf8(text)
    try:
        base = msgspec.json.decode(text, type=_Rev).rev
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise BadRequest(f"invalid_json: {error}") from error
    body = msgspec.json.encode({name: raw for name, raw in members.items() if not name.startswith("_")})
    rev = await (await call.database()).put_local(local_id, base, body)
    return json_answer({"ok": True, "id": f"_local/{local_id}", "rev": rev}, status=201)


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/_local/{id}`."""
    local_id = _local_id(call)
    await (await call.database()).delete_local(local_id)
    return json_answer({"ok": True, "id": f"_local/{local_id}", "rev": "0-0"})

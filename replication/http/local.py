"""`_local` documents: replicators keep their checkpoints here; they are never replicated.

They have no history. CouchDB numbers a write from the `_rev` that came with it and lets the last one win: two
replicators that share a checkpoint both go on, and at worst one of them reads a few changes again. A write
with `"_deleted": true` takes the document away, and is no failure where there is none.
"""

import contextlib
import re

import msgspec
from aiohttp import web

from replication.errors import BadRequest, Forbidden, NotFound, TooLarge
from replication.http.answers import json_answer, raw_answer, read_body
from replication.http.call import Asked, Call
from replication.wire.decode import MAX_NESTING, check_reserved_members, check_utf8
from replication.wire.split import is_deeper

_REV = re.compile("0-[0-9]{1,15}")


class _Special(msgspec.Struct):
    rev: str = msgspec.field(default="0-0", name="_rev")
    deleted: bool = msgspec.field(default=False, name="_deleted")


class _Checkpoint(msgspec.Struct, frozen=True):
    """What a PUT asks for: the number of the new revision, and the JSON to store; None: nothing, any more."""

    number: int
    body: bytes | None


_anything = msgspec.json.Decoder()


def local_id_of(call: Asked) -> str:
    """The id of the URL, without `_local/`. Raises Forbidden when it is not open to the caller."""
    local_id = call.request.match_info["local"]
    if not call.access.may_use_local(local_id):
        raise Forbidden(f"_local/{local_id} is not open to this credential")
    return local_id


async def get(call: Call) -> web.Response:
    """`GET /{db}/_local/{id}`."""
    local_id = local_id_of(call)
    rev, body = await (await call.database()).local(local_id)
    return raw_answer(local_json(f"_local/{local_id}", rev, body) + b"\n")


def local_json(doc_id: str, rev: str, body: bytes) -> bytes:
    """The document's JSON; `doc_id` begins with `_local/`."""
    front = msgspec.json.encode({"_id": doc_id, "_rev": rev})
    return front[:-1] + (b"}" if body == b"{}" else b"," + body[1:])


async def put(call: Call) -> web.Response:
    """`PUT /{db}/_local/{id}`."""
    local_id = local_id_of(call)
    asked = _checkpoint(await read_body(call.request), call.access.most_local_bytes)
    database = await call.database()
    if asked.body is None:
        with contextlib.suppress(NotFound):
            await database.delete_local(local_id)
        return _gone(local_id)
    await database.put_local(local_id, asked.number, asked.body)
    return json_answer({"ok": True, "id": f"_local/{local_id}", "rev": f"0-{asked.number}"}, status=201)


def members_of(text: bytes, most_bytes: int) -> dict[str, msgspec.Raw]:
    """The members of a `_local` document that is JSON all the way down. Raises BadRequest, TooLarge."""
    if len(text) > most_bytes:
        raise TooLarge(f"a checkpoint is larger than {most_bytes} bytes")
    check_utf8(text)
    if is_deeper(text, MAX_NESTING):
        raise BadRequest(f"document is nested deeper than {MAX_NESTING} levels")
    try:
        _anything.decode(text)
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"invalid_json: {error}") from error


def _checkpoint(text: bytes, most_bytes: int) -> _Checkpoint:
    """Raises BadRequest, DocValidation, TooLarge."""
    members = members_of(text, most_bytes)
    try:
        special = msgspec.json.decode(text, type=_Special)
    except ValueError as error:
        raise BadRequest(f"invalid_json: {error}") from error
    if not _REV.fullmatch(special.rev):
        raise BadRequest("Invalid rev format")
    check_reserved_members(members)
    if special.deleted:
        return _Checkpoint(0, None)
    body = msgspec.json.encode({name: raw for name, raw in members.items() if not name.startswith("_")})
    return _Checkpoint(int(special.rev.removeprefix("0-")) + 1, body)


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/_local/{id}`."""
    local_id = local_id_of(call)
    await (await call.database()).delete_local(local_id)
    return _gone(local_id)


def _gone(local_id: str) -> web.Response:
    return json_answer({"ok": True, "id": f"_local/{local_id}", "rev": "0-0"})

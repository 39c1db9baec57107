"""Reading documents: asked only for what the caller may read, and streamed.

`_bulk_get` of a caller who sees part of the documents: the rows that it may not have are answered here,
before those of the server behind, whose rows stream; and always as JSON, which every client takes.
"""

import re
from typing import Any

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotFound, Unavailable
from replication.http.answers import read_json
from replication.http.attachments import SANDBOXED
from replication.http.call import UNREADABLE
from replication.http.streaming import JsonStream
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask, Exchange
from replication.upstream.passing import json_headers, pass_on

_MOST_HEAD = 1024
_HEAD = re.compile(rb'\s*\{\s*"results"\s*:\s*\[\s*')


class _BulkGet(msgspec.Struct):
    docs: list[Any]


async def document(call: UpstreamCall) -> web.StreamResponse:
    """`GET /{db}/{doc}`."""
    call.document_id()
    return await pass_on(call)


async def attachment(call: UpstreamCall) -> web.StreamResponse:
    """`GET /{db}/{doc}/{attachment}`."""
    call.document_id()
    if call.request.match_info["attachment"].startswith("_"):
        # None is called so; `_design%2Fd/_rewrite` is something else to the server behind.
        raise NotFound("Document is missing attachment")
    return await pass_on(call, also=SANDBOXED)


async def bulk_get(call: UpstreamCall) -> web.StreamResponse:
    """`POST /{db}/_bulk_get`."""
    if call.access.prefixes is None:
        return await pass_on(call)
    asked = (await read_json(call.request, _BulkGet)).docs
    if "atts_since" in call.request.query:
        raise BadRequest('"atts_since" query parameter is not acceptable')
    refused = [row for wanted in asked if (row := _refused(call, wanted)) is not None]
    readable = [wanted for wanted in asked if _refused(call, wanted) is None]
    async with JsonStream(call.request) as out:
        own = b",\n".join(map(msgspec.json.encode, refused))
        if not readable:
            await out.write(b'{"results":[' + own + b"]}\n")
            return await out.finish()
        ask = Ask(
            method="POST",
            path=call.path,
            query=call.query,
            headers=json_headers(),
            body=msgspec.json.encode({"docs": readable}),
            repeatable=True,
        )
        async with call.upstream.exchange(call.request, ask) as answer:
            answer.check_login()
            if answer.status >= 400:
                raise await answer.failure()
            await _send_rows(out, answer, own)
        return await out.finish()


def _refused(call: UpstreamCall, wanted: object) -> dict[str, object] | None:
    """The row of what the caller may not have."""
    doc_id = wanted.get("id") if isinstance(wanted, dict) else None
    if isinstance(doc_id, str) and call.access.may_read(doc_id):
        return None
    rev = wanted.get("rev") if isinstance(wanted, dict) else None
    error: dict[str, object] = {"id": doc_id, "rev": rev, "error": "forbidden", "reason": UNREADABLE}
    return {"id": doc_id, "docs": [{"error": error}]}


async def _send_rows(out: JsonStream, answer: Exchange, own: bytes) -> None:
    """The answer with rows of this server's own before the others, of which there is at least one."""
    head = b""
    begun = False
    async for piece in answer.pieces():
        if begun:
            await out.write(piece)
            continue
        head += piece
        found = _HEAD.match(head)
        if found is not None and found.end() < len(head):
            begun = True
            await out.write(b'{"results":[' + own + (b",\n" if own else b"") + head[found.end() :])
        elif len(head) > _MOST_HEAD:
            break
    if not begun:
        raise Unavailable("the store's answer is none to _bulk_get")

"""`_local` documents: whose may be used is for the policy to say, the rest is the other server's."""

import msgspec
from aiohttp import web

from replication.errors import BadRequest, Forbidden, TooLarge
from replication.http.answers import read_body
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask
from replication.upstream.passing import asked_headers, json_headers, pass_back, pass_on, pass_on_write
from replication.wire.decode import MAX_NESTING, check_utf8
from replication.wire.split import is_deeper

_anything = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def get(call: UpstreamCall) -> web.StreamResponse:
    """`GET /{db}/_local/{id}`."""
    _check(call)
    return await pass_on(call)


async def delete(call: UpstreamCall) -> web.StreamResponse:
    """`DELETE /{db}/_local/{id}`."""
    _check(call)
    return await pass_on_write(call, parameters=("rev",))


async def put(call: UpstreamCall) -> web.StreamResponse:
    """`PUT /{db}/_local/{id}`. Raises Forbidden, TooLarge, BadRequest."""
    _check(call)
    text = await read_body(call.request)
    most = call.access.most_local_bytes
    if len(text) > most:
        raise TooLarge(f"a checkpoint is larger than {most} bytes")
    check_utf8(text)
    if is_deeper(text, MAX_NESTING):
        raise BadRequest(f"document is nested deeper than {MAX_NESTING} levels")
    try:
        _anything.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"invalid_json: {error}") from error
    headers = asked_headers(call.request) | json_headers()
    ask = Ask(method="PUT", path=call.path, headers=headers, body=text, repeatable=True)
    async with call.upstream.exchange(call.request, ask) as answer:
        return await pass_back(call, answer)


def _check(call: UpstreamCall) -> None:
    local_id = call.request.match_info["local"]
    if not call.access.may_use_local(local_id):
        raise Forbidden(f"_local/{local_id} is not open to this credential")

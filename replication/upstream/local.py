"""`_local` documents: whose may be used is for the policy to say, the rest is the other server's."""

from aiohttp import web

from replication.http.answers import read_body
from replication.http.local import local_id_of, members_of
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask
from replication.upstream.passing import asked_headers, json_headers, pass_back, pass_on, pass_on_write


async def get(call: UpstreamCall) -> web.StreamResponse:
    """`GET /{db}/_local/{id}`."""
    local_id_of(call)
    return await pass_on(call)


async def delete(call: UpstreamCall) -> web.StreamResponse:
    """`DELETE /{db}/_local/{id}`."""
    local_id_of(call)
    return await pass_on_write(call, parameters=("rev",))


async def put(call: UpstreamCall) -> web.StreamResponse:
    """`PUT /{db}/_local/{id}`. Raises Forbidden, TooLarge, BadRequest."""
    local_id_of(call)
    text = await read_body(call.request)
    members_of(text, call.access.most_local_bytes)
    headers = asked_headers(call.request) | json_headers()
    ask = Ask(method="PUT", path=call.path, headers=headers, body=text, repeatable=True)
    async with call.upstream.exchange(call.request, ask) as answer:
        return await pass_back(call, answer)

"""Passing a request on, and its answer back, a piece at a time.

Headers are passed by name: what is not listed stays here. A caller's credentials are for this server only,
and the other server's cookies and challenges are for this service only.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy

from replication.http.documents import location_of
from replication.http.intake import passed_on_pieces
from replication.http.streaming import Stream
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Ask, Exchange, refused_login

_ASKED = (
    hdrs.ACCEPT,
    hdrs.ACCEPT_ENCODING,
    hdrs.CONTENT_TYPE,
    hdrs.IF_MATCH,
    hdrs.IF_NONE_MATCH,
    hdrs.IF_RANGE,
    hdrs.RANGE,
    "Last-Event-ID",
)
_ANSWERED = (
    hdrs.ACCEPT_RANGES,
    hdrs.ALLOW,
    hdrs.CACHE_CONTROL,
    hdrs.CONTENT_DISPOSITION,
    hdrs.CONTENT_ENCODING,
    hdrs.CONTENT_RANGE,
    hdrs.CONTENT_TYPE,
    "Content-MD5",
    "Content-Security-Policy",
    hdrs.ETAG,
    hdrs.LAST_MODIFIED,
    hdrs.VARY,
    "X-Couch-Update-NewRev",
    "X-Couch-Id",
)
_OF_BODY = (hdrs.CONTENT_LENGTH, hdrs.CONTENT_ENCODING, "Content-MD5")
UNPACKED_HERE = frozenset({"gzip", "deflate", "br", "zstd"})
_WITHOUT_BODY = (204, 304)
_NO_HEADERS: Mapping[str, str] = {}


def asked_headers(request: web.Request) -> dict[str, str]:
    """What of a request's headers is passed on."""
    return {name: request.headers[name] for name in _ASKED if name in request.headers}


def answered_headers(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """What of an answer's headers is passed back."""
    return {name: headers[name] for name in _ANSWERED if name in headers}


async def pass_on(call: UpstreamCall, *, also: Mapping[str, str] = _NO_HEADERS) -> web.StreamResponse:
    """The request as it is, for whoever may have all of its answer, which gets `also` these headers. Raises
    Unavailable, ConnectionCut.
    """
    return await _passed_on(call, call.query, judged=False, also=also)


async def pass_on_replication(call: UpstreamCall) -> web.StreamResponse:
    """A replication on demand. What it could not do is told as it is: its reason is for who asked, and
    sending it again mends nothing. Raises Unavailable, ConnectionCut.
    """
    return await _passed_on(call, "", judged=False, fails_with_500=True)


async def pass_on_write(
    call: UpstreamCall, *, parameters: Sequence[str] = (), judged: bool = False
) -> web.StreamResponse:
    """The request with these parameters of its query only. `judged`: it writes a document, which a function
    of a design document may refuse. Raises Unavailable, ConnectionCut.
    """
    return await _passed_on(call, call.query_of(*parameters), judged=judged)


async def _passed_on(
    call: UpstreamCall,
    query: str,
    *,
    judged: bool,
    also: Mapping[str, str] = _NO_HEADERS,
    fails_with_500: bool = False,
) -> web.StreamResponse:
    request = call.request
    headers = asked_headers(request)
    body: AsyncIterator[bytes] | None = None
    if request.body_exists:
        body = passed_on_pieces(request)
        # What comes packed is unpacked by the HTTP server, and has another length then.
        if request.headers.get(hdrs.CONTENT_ENCODING, "").lower() not in UNPACKED_HERE:
            headers |= {name: request.headers[name] for name in _OF_BODY if name in request.headers}
    ask = Ask(
        method=request.method,
        path=call.path,
        query=query,
        headers=headers,
        body=body,
        fails_with_500=fails_with_500,
    )
    async with call.upstream.exchange(request, ask) as answer:
        if judged:
            await check_login_of_write(call, answer)
        return await pass_back(call, answer, judged=judged, also=also)


async def pass_back(
    call: UpstreamCall, answer: Exchange, *, judged: bool = False, also: Mapping[str, str] = _NO_HEADERS
) -> web.StreamResponse:
    """The answer, piece by piece. `judged`: a 401 or 403 is known to be about a document."""
    if not judged:
        answer.check_login()
    status, headers = answer.status, {**answered_headers(answer.response.headers), **also}
    if (location := _location(call, answer)) is not None:
        headers[hdrs.LOCATION] = location
    length = answer.response.content_length
    if status in _WITHOUT_BODY:
        return web.Response(status=status, headers=headers)
    async with Stream(call.request, headers, status=status, length=length) as out:
        if call.request.method != "HEAD":
            async for piece in answer.pieces():
                await out.write(piece)
        return await out.finish()


def _location(call: UpstreamCall, answer: Exchange) -> str | None:
    """Where the client finds what the other server says to be at a URL of its own."""
    told = answer.response.headers.get(hdrs.LOCATION)
    if told is None:
        return None
    path, base = urlsplit(told).path, urlsplit(call.upstream.base).path
    if not path.startswith(f"{base}/"):
        return None
    origin = location_of(call.request).removesuffix(call.request.rel_url.raw_path)
    return origin + call.prefix + path.removeprefix(base)


async def check_login_of_write(call: UpstreamCall, answer: Exchange) -> None:
    """Raises Unavailable where 401 or 403 are about this service's login, and not about the document that was
    written: a function of a design document refuses with the same status.
    """
    if answer.status not in (401, 403):
        return
    ask = Ask(method="GET", path=call.database_path())
    async with call.upstream.exchange(call.request, ask) as seen:
        if seen.status in (401, 403):
            raise refused_login(seen.status, call.database_path())


def json_headers(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Headers of a request with JSON that is answered with JSON."""
    return {hdrs.CONTENT_TYPE: "application/json", hdrs.ACCEPT: "application/json", **(more or {})}

"""Which pages of other origins may call: the same at the centre and at a hub, since one app syncs with both.

Browsers ask first, without a credential (a preflight). Never `*`: that forbids credentials.
"""

from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web

from sync_server.areas import is_below

_PREFLIGHT: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, POST, PUT, PATCH, DELETE, COPY, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: (
        "Accept, Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Range, X-Request-ID"
    ),
    hdrs.ACCESS_CONTROL_MAX_AGE: "7200",
}
_EXPOSED: Final = (
    "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Content-Type, Date, ETag, "
    "Idempotent-Replayed, Location, Retry-After, Server, WWW-Authenticate, X-RateLimit-Limit, "
    "X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"
)


def _is_shared(path: str) -> bool:
    return is_below(path, "/api", "/db")


def _allowed_origin(request: web.Request, allowed: Collection[str]) -> str | None:
    """The request's origin, where its pages may call this path."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or not _is_shared(request.path):
        return None
    return origin if origin in allowed or "*" in allowed else None


def preflight(request: web.Request, allowed: Collection[str]) -> web.Response | None:
    """The answer to a preflight that is allowed; None for any other request."""
    asks = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if asks and _allowed_origin(request, allowed) is not None:
        return web.Response(status=204, headers=_PREFLIGHT)
    return None


def add_origin_headers(request: web.Request, response: web.StreamResponse, allowed: Collection[str]) -> None:
    """What lets an allowed page read the answer; to be called when the response starts."""
    if not (allowed and _is_shared(request.path)):
        return
    # Also without an Origin: a cache must not give that answer to a page of an allowed origin.
    vary = response.headers.get(hdrs.VARY)
    response.headers[hdrs.VARY] = f"{vary}, Origin" if vary else "Origin"
    origin = _allowed_origin(request, allowed)
    if origin is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

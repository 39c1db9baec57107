"""What happens to every request, whoever handles it: an id, a log line, cross-origin answers, errors.

Outermost first:

1. `request_context` gives the request an id (the caller's `X-Request-ID` where it is sane), binds it to the
   log context and writes the access line, also for requests that fail or whose client went away (499).
2. `cross_origin` answers preflights of `/api` and `/db` before anybody asks for a credential: browsers send
   none with them.
3. `api_errors` turns failures under `/api` into the error shape. Other paths (`/db` speaks CouchDB's) see
   their own exceptions.

Headers are added when a response *starts*, not when its handler returns: a changes feed has sent its headers
hours before that.

| failure under /api | answer |
|---|---|
| ApiError | its status and code |
| aiohttp's 404, 405, 413, … | the same status |
| a body that is not JSON / not of the documented shape | 400 / 422 with the JSON path |
| Postgres or the store unreachable | 503, `Retry-After` |
| anything else | logged with its traceback; 500 with the request id, nothing of the cause |
"""

import asyncio
import time
import traceback
from typing import Any

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from sync_server.areas import is_below
from sync_server.caller_address import caller_address
from sync_server.cross_origin import add_origin_headers, preflight
from sync_server.errors import HTTP_CODES, ApiError, TooMany, error_response
from sync_server.identity.principals import PRINCIPAL_LOG_FIELDS
from sync_server.keys import SETTINGS
from sync_server.request_ids import REQUEST_ID, name_request
from sync_server.unreachable import UNREACHABLE

OWN_REQUEST = web.RequestKey("own_request", bool)
"""Set on requests of this system's own processes: the projector polls, and nobody wants to read that."""

_CLIENT_GONE = 499
_QUIET_PATHS = frozenset({"/api/health", "/api/health/detailed", "/api/metrics"})
_API_HEADERS = {
    # Participants' data and tokens: not for a shared computer's disk.
    hdrs.CACHE_CONTROL: "no-store",
    # Data is no page: whatever is in it, a browser runs nothing of it and shows it in no frame.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"

_log = structlog.get_logger()


def install_middleware(app: web.Application) -> None:
    """Add everything here to an application; its settings must be under `keys.SETTINGS` when it serves."""
    app.middlewares.extend([request_context, cross_origin, api_errors])
    app.on_response_prepare.append(_add_headers)


@web.middleware
async def request_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Request id and access log."""
    structlog.contextvars.bind_contextvars(request_id=name_request(request))
    started = time.monotonic()
    status, size = 500, None
    try:
        response = await handler(request)
        status = response.status
        if response.prepared:
            # A stream ends here at the latest; only then is its size known.
            await response.write_eof()
        size = _size(response)
    except web.HTTPException as error:
        status, size = error.status, _size(error)
        raise
    except (asyncio.CancelledError, ConnectionResetError):
        status = _CLIENT_GONE
        raise
    else:
        return response
    finally:
        quiet = request.path in _QUIET_PATHS or request.get(OWN_REQUEST, False)
        write = _log.debug if quiet else _log.info
        ms = round((time.monotonic() - started) * 1000, 1)
        address = caller_address(request)
        write(
            "request",
            method=request.method,
            path=request.path,
            status=status,
            ms=ms,
            bytes=size,
            address=address,
        )
        # One task serves all requests of a connection: what stays bound would show in the next one's lines.
        structlog.contextvars.unbind_contextvars("request_id", *PRINCIPAL_LOG_FIELDS)


@web.middleware
async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Preflights; the headers of other answers are added as they start."""
    allowed = preflight(request, request.app[SETTINGS].allowed_origins)
    return await handler(request) if allowed is None else allowed


@web.middleware
async def api_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures under `/api`, in the documented shape."""
    if not is_below(request.path, "/api"):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _http_error(request, error)
    except Exception as error:  # noqa: BLE001 (the one place where any failure becomes an answer)
        return _failure(request, error)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[REQUEST_ID]
    if is_below(request.path, "/api"):
        for name, value in _API_HEADERS.items():
            response.headers.setdefault(name, value)
        if (request.app[SETTINGS].public_url or "").startswith("https://"):
            response.headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
    add_origin_headers(request, response, request.app[SETTINGS].allowed_origins)


def _size(response: web.StreamResponse) -> int | None:
    return response.body_length if response.prepared else response.content_length


def _failure(request: web.Request, error: Exception) -> web.Response:
    match error:
        case ApiError():
            answer = error_response(error.status, error.code, error.message, error.details)
            if isinstance(error, TooMany):
                answer.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
        case msgspec.ValidationError():
            message, path = _split_path(error)
            answer = error_response(422, "invalid_request", message, {"path": path})
        case msgspec.DecodeError():
            answer = error_response(400, "not_json", f"The body is not JSON: {error}.")
        case _ if isinstance(error, UNREACHABLE):
            _log.warning("a dependency is unreachable", error=str(error))
            answer = error_response(503, "unavailable", "The service cannot reach its database; try again.")
        case _:
            _log.error("request failed", exc_info=error)
            details: dict[str, Any] = {"request_id": request[REQUEST_ID]}
            if request.app[SETTINGS].debug:
                details["traceback"] = traceback.format_exception(error)
            message = "Something went wrong here; the log has it."
            answer = error_response(500, "internal_error", message, details)
    return answer


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    code = HTTP_CODES.get(error.status, error.reason.lower().replace(" ", "_"))
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        message = f"{request.method} is not possible here."
        answer = error_response(error.status, code, message, {"allowed": allowed})
        answer.headers[hdrs.ALLOW] = ", ".join(allowed)
        return answer
    if isinstance(error, web.HTTPNotFound):
        return error_response(error.status, code, f"There is nothing at {request.path}.")
    return error_response(error.status, code, f"{error.reason}.")


def _split_path(error: msgspec.ValidationError) -> tuple[str, str]:
    """msgspec's sentence without its path, and the path; problems at the top have none in the sentence."""
    message, _, path = str(error).rpartition(" - at `")
    return (message, path.rstrip("`")) if message else (str(error), "$")

"""What happens to every request at a hub: a log line, cross-origin answers, failures in the right words.

As at the centre (see `sync_server.middleware`), without what that needs of Postgres: an app that syncs with
both has to be told the same.

| failure | answer |
|---|---|
| under `/api` | the API's shape: an ApiError's status and code, else aiohttp's |
| under `/db` | CouchDB's shape |
| a defect | 500 with the request id; logged; the connection is cut where the answer had begun |
"""

import time
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from replication.errors import CouchError
from replication.http.answers import json_answer
from replication.http.server import CLIENT_IS_GONE
from sync_server.areas import is_below
from sync_server.cross_origin import add_origin_headers, preflight
from sync_server.errors import HTTP_CODES, ApiError, error_response
from sync_server.hub.parts import HUB
from sync_server.hub.records import RecordsFailed
from sync_server.request_ids import REQUEST_ID, name_request

DATABASES: Final = "/db"
_API: Final = "/api"
_COUCH_NAMES: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_QUIET: Final = frozenset({"/", "/status.json", "/api/health"})
log = structlog.get_logger()


def install(app: web.Application) -> None:
    """Add everything here to a hub's application."""
    app.middlewares.extend([_context, _cross_origin, _errors])
    app.on_response_prepare.append(_add_headers)


@web.middleware
async def _context(request: web.Request, handler: Handler) -> web.StreamResponse:
    name_request(request)
    started, status = time.monotonic(), 499
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    else:
        return response
    finally:
        write = log.debug if request.path in _QUIET else log.info
        ms = round((time.monotonic() - started) * 1000, 1)
        write("request", method=request.method, path=request.path, status=status, ms=ms)


@web.middleware
async def _cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    allowed = preflight(request, request.app[HUB].settings.allowed_origins)
    return await handler(request) if allowed is None else allowed


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not is_below(request.path, DATABASES, _API):
            raise
        return _refused(request, error)
    except ConnectionError as error:
        log.info("connection cut", path=request.path, reason=str(error))
        return web.Response(status=CLIENT_IS_GONE)
    except Exception as error:  # noqa: BLE001 (the one place where any failure becomes an answer)
        return _failed(request, error)


def _refused(request: web.Request, error: web.HTTPException) -> web.Response:
    missing = f"There is nothing at {request.path} of a hub."
    reason = missing if error.status == HTTPStatus.NOT_FOUND else f"{error.reason}."
    return _failure(request, error.status, HTTP_CODES.get(error.status, "bad_request"), reason)


def _failed(request: web.Request, error: Exception) -> web.Response:
    match error:
        case ApiError():
            return error_response(error.status, error.code, error.message, error.details)
        case CouchError():
            code = HTTPStatus(error.status).phrase.lower().replace(" ", "_")
            return _failure(request, error.status, code, error.reason)
        case RecordsFailed():
            log.warning("request failed", path=request.path, reason=str(error))
            return _failure(request, 503, "unavailable", "The hub cannot read its records; try again.")
    log.error("request failed", path=request.path, exc_info=error)
    if request.writer.output_size:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=CLIENT_IS_GONE)
    reason = f"Something went wrong here; the log has it under request {request[REQUEST_ID]}."
    return _failure(request, 500, "internal_error", reason)


def _failure(request: web.Request, status: int, code: str, reason: str) -> web.Response:
    if is_below(request.path, DATABASES):
        return json_answer({"error": _COUCH_NAMES.get(status, code), "reason": reason}, status=status)
    return error_response(status, code, reason)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[REQUEST_ID]
    if not is_below(request.path, DATABASES):
        response.headers.setdefault("Cache-Control", "no-store")
    add_origin_headers(request, response, request.app[HUB].settings.allowed_origins)

"""Whatever goes wrong under `/db` is answered as CouchDB would, or replication clients see no reason in it.

The handlers answer the failures that they know. What is left:

what happens                                   answer
-------------------------------------------    ----------------------------------------------------
no route has this path                         404 `not_found`
a route has it, for other methods              405 `method_not_allowed`
any other failure that HTTP has a status for   that status, `error` in CouchDB's spelling
a defect, before the answer began              500 `internal_server_error` with the request id; logged
a defect, after it began                       the connection is cut: JSON that does not end; logged
"""

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from replication.http.answers import json_answer
from replication.http.server import CLIENT_IS_GONE
from sync_server.areas import is_below
from sync_server.request_ids import REQUEST_ID

PREFIX = "/db"

_NAMES = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
}

log = structlog.get_logger()


@web.middleware
async def couch_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures under `/db`, in CouchDB's shape."""
    if not is_below(request.path, PREFIX):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error(error.status, _NAMES.get(HTTPStatus(error.status), "bad_request"), _reason(error))
    except ConnectionError as error:
        log.info("connection cut", path=request.path, reason=str(error))
        return web.Response(status=CLIENT_IS_GONE)
    except Exception:
        log.exception("request failed", path=request.path)
        if request.writer.output_size:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=CLIENT_IS_GONE)
        reason = f"something went wrong here; the log has it under request {request[REQUEST_ID]}"
        return _error(500, "internal_server_error", reason)


def _reason(error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"Only {','.join(sorted(error.allowed_methods))} allowed"
    return "missing" if error.status == HTTPStatus.NOT_FOUND else error.reason


def _error(status: int, error: str, reason: str) -> web.Response:
    return json_answer({"error": error, "reason": reason}, status=status)

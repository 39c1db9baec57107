"""What went wrong, as a page: under `/portal` nobody is shown JSON, or an empty window.

| failure | page |
|---|---|
| nobody is signed in (any more) | 303 to sign-in, and back |
| a temporary password | 303 to the page that changes it |
| either, of a stream | `event: over`: its page is loaded anew, and led there |
| ApiError | its status, what it means in the reader's language, and the API's own sentence |
| aiohttp's 404, 405, 413 | the same status |
| Postgres or the store unreachable | 503; it tries again by itself, or says how to send a form again |
| the browser went away | none; 499 in the log |
| anything else | logged with its traceback; 500 with the request's id, nothing of the cause |
"""

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from sync_server.areas import is_below
from sync_server.errors import HTTP_CODES, ApiError, NotAuthenticated, PasswordChangeRequired, TooMany
from sync_server.portal.cookie import PATH, forget_cookie
from sync_server.portal.live import OVER
from sync_server.portal.rendering import RENDERING
from sync_server.portal.serving import page_response
from sync_server.portal.signing_in import PASSWORD_PAGE, WHO, to_sign_in, visitors_texts
from sync_server.request_ids import REQUEST_ID
from sync_server.unreachable import UNREACHABLE

_TRIES_AGAIN_SECONDS = 5
_CLIENT_GONE = 499

_log = structlog.get_logger()


@web.middleware
async def portal_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures under `/portal`."""
    if not is_below(request.path, PATH):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _http_error(request, error)
    except ConnectionError:
        # Whoever followed a page has closed it; nobody is there to be answered.
        return web.Response(status=_CLIENT_GONE)
    except Exception as error:  # noqa: BLE001 (the one place where any failure becomes a page)
        return _failure(request, error)


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    response = _page(request, error.status, HTTP_CODES.get(error.status, "bad_request"))
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    return response


def _failure(request: web.Request, error: Exception) -> web.Response:
    match error:
        case NotAuthenticated():
            response = _away(request, to_sign_in(request))
            forget_cookie(request, response)
        case PasswordChangeRequired():
            response = _away(request, PASSWORD_PAGE)
        case ApiError():
            response = _page(request, error.status, error.code, error.message)
            if isinstance(error, TooMany):
                response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
        case _ if isinstance(error, UNREACHABLE):
            _log.warning("a dependency is unreachable", error=str(error))
            response = _page(request, 503, "unavailable")
            response.headers[hdrs.RETRY_AFTER] = str(_TRIES_AGAIN_SECONDS)
            if request.method == "GET":
                response.headers["Refresh"] = str(_TRIES_AGAIN_SECONDS)
        case _:
            _log.error("request failed", exc_info=error)
            response = _page(request, 500, "internal_error")
    return response


def _away(request: web.Request, path: str) -> web.Response:
    """To where one signs in, or sets a password. A stream is not led there: browsers tell its page nothing of
    a status, and what was shown would stay.
    """
    if "text/event-stream" in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(body=OVER, content_type="text/event-stream")
    return web.Response(status=303, headers={hdrs.LOCATION: path})


def _page(request: web.Request, status: int, code: str, detail: str | None = None) -> web.Response:
    who = request.get(WHO)
    texts = visitors_texts(request) if who is None else who.texts
    rendering = request.app[RENDERING]
    problem = f"problem.{code}"
    html = rendering.html(
        "error.html",
        texts,
        {
            "status": status,
            "was_sent": request.method != "GET",
            "problem": problem if problem in texts else "problem.refused",
            "detail": detail,
            "request_id": request.get(REQUEST_ID, ""),
            "links": [] if who is None else rendering.navigation(None, who),
            "name": None if who is None else who.name,
        },
    )
    return page_response(html, status=status)

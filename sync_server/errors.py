"""The API's failures and the one table that maps them to HTTP.

Every `/api` answer that is no success reads `{"error": {"code", "message", "details"}}`. `/db` answers in
CouchDB's shape instead (see `replication.http`).
"""

import json
from typing import Any

import msgspec
from aiohttp import web


class ApiError(Exception):
    """A failure that the caller can understand: `code` for programs, `message` for people."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, *, details: Any = None) -> None:
        self.message = message
        self.details = details
        super().__init__(message)


class InvalidRequest(ApiError):
    """The request's parameters or body are not what the route takes."""

    status = 422
    code = "invalid_request"


class NotJson(ApiError):
    """The body is not JSON."""

    status = 400
    code = "not_json"


class NotAuthenticated(ApiError):
    """No credential, or one that is not valid (any more)."""

    status = 401
    code = "not_authenticated"


class SecondFactorRequired(NotAuthenticated):
    """The password is right, and the account asks for a code as well."""

    code = "second_factor_required"


class NotAllowed(ApiError):
    """The credential is valid but may not do this."""

    status = 403
    code = "not_allowed"


class PasswordChangeRequired(NotAllowed):
    """The password is temporary and has to be changed first."""

    code = "password_change_required"


class NotFound(ApiError):
    """There is no such thing, or not for this caller."""

    status = 404
    code = "not_found"


class Ambiguous(ApiError):
    """The request fits more than one thing; `details` says how to tell them apart."""

    status = 409
    code = "ambiguous"


class Changed(ApiError):
    """What the caller looked at is not what there is now; look again."""

    status = 409
    code = "changed"


class AlreadyDone(ApiError):
    """There is nothing left to decide."""

    status = 409
    code = "already_done"


class Taken(ApiError):
    """There is one with that name already."""

    status = 409
    code = "taken"


class NotPossible(ApiError):
    """It is in a state in which this cannot be done."""

    status = 409
    code = "not_possible"


class Gone(ApiError):
    """It was there, and is not any more."""

    status = 410
    code = "gone"


class PreconditionFailed(ApiError):
    """What the caller has read is not what there is now."""

    status = 412
    code = "precondition_failed"


class PreconditionRequired(ApiError):
    """The change does not say what it was made from."""

    status = 428
    code = "precondition_required"


class NotAcceptable(ApiError):
    """There is no answer of a kind that the caller takes; `details` names the kinds there are."""

    status = 406
    code = "not_acceptable"


class TooExpensive(ApiError):
    """The answer would take longer than one may: ask for less."""

    status = 422
    code = "too_expensive"


class TooMany(ApiError):
    """Too many requests; `Retry-After` says when to come again."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: int, details: Any = None) -> None:
        super().__init__(message, details=details)
        self.retry_after = retry_after


class TooLarge(ApiError):
    """The body is larger than this route takes."""

    status = 413
    code = "too_large"


class UnsupportedMediaType(ApiError):
    """The body's content type is not the one this route takes."""

    status = 415
    code = "unsupported_media_type"


class Unavailable(ApiError):
    """A dependency is away for the moment; try again."""

    status = 503
    code = "unavailable"


HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def error_response(status: int, code: str, message: str, details: Any = None) -> web.Response:
    """An API error answer in the documented shape."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503:
        headers["Retry-After"] = "2"
    body = {"error": {"code": code, "message": message, "details": details}}
    try:
        encoded = msgspec.json.encode(body)
    except UnicodeEncodeError:
        # Raw bytes in a path or a query, told again: they come as halves of characters.
        encoded = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    return web.Response(status=status, body=encoded, content_type="application/json", headers=headers)

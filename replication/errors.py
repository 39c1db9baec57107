"""Failures as CouchDB names them. Each class is one `error`; `reason` is for people.

`CouchError.status` is the HTTP status that Apache CouchDB 3.x answers with; a failure of one document within
`_bulk_docs` or `_bulk_get` is reported in its row, with the same `error` and `reason`.
"""

from typing import ClassVar


class CouchError(Exception):
    """A request, or one document of it, could not be served."""

    status: ClassVar[int] = 500
    error: str = "internal_server_error"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class DocValidation(CouchError):
    """A document has a member that begins with an underscore and is not the protocol's, or is malformed."""

    status = 400
    error = "doc_validation"


class IllegalDocId(CouchError):
    """No document may be called so."""

    status = 400
    error = "illegal_docid"


class IllegalDatabaseName(CouchError):
    """No database may be called so."""

    status = 400
    error = "illegal_database_name"


class BadRequest(CouchError):
    """The request is malformed: not JSON, or a parameter that cannot be read."""

    status = 400
    error = "bad_request"


class QueryParseError(CouchError):
    """A parameter of a query has the wrong type."""

    status = 400
    error = "query_parse_error"


class Unauthorized(CouchError):
    """No credential, or one that is not valid (any more)."""

    status = 401
    error = "unauthorized"


class Forbidden(CouchError):
    """The credential is valid and may not do this."""

    status = 403
    error = "forbidden"


class NotFound(CouchError):
    """No such database, document or revision."""

    status = 404
    error = "not_found"


class MethodNotAllowed(CouchError):
    """The path exists, and not for this method."""

    status = 405
    error = "method_not_allowed"


class Conflict(CouchError):
    """The edit is not based on a current leaf."""

    status = 409
    error = "conflict"

    def __init__(self, reason: str = "Document update conflict.") -> None:
        super().__init__(reason)


class DatabaseExists(CouchError):
    """A database of that name is there already."""

    status = 412
    error = "file_exists"


class MissingStub(CouchError):
    """An attachment was sent as a stub, and its data is not here."""

    status = 412
    error = "missing_stub"


class RequestTimeout(CouchError):
    """The client stopped sending in the middle of its request."""

    status = 408
    error = "request_timeout"


class TooLarge(CouchError):
    """The request's body is over the limit."""

    status = 413
    error = "too_large"


class AttachmentTooLarge(CouchError):
    """The attachment is over the limit for one. Its reason is the attachment's name, as CouchDB's."""

    status = 413
    error = "attachment_too_large"


class ContentMd5Mismatch(CouchError):
    """The bytes of an attachment are not those that its digest was made of."""

    status = 400
    error = "content_md5_mismatch"

    def __init__(self, reason: str = "Possible message corruption.") -> None:
        super().__init__(reason)


class RangeNotSatisfiable(CouchError):
    """Nothing of the attachment lies in the range that was asked for."""

    status = 416
    error = "requested_range_not_satisfiable"

    def __init__(self, reason: str = "Requested range not satisfiable") -> None:
        super().__init__(reason)


class BadContentType(CouchError):
    """The body is not declared to be what the endpoint reads."""

    status = 415
    error = "bad_content_type"


class NotImplementedHere(CouchError):
    """CouchDB has it, this store does not (docs/PROTOCOL.md says why)."""

    status = 501
    error = "not_implemented"


class Unavailable(CouchError):
    """A dependency is away for the moment; the same request may succeed soon."""

    status = 503
    error = "service_unavailable"


class StorageFailed(CouchError):
    """The database's file cannot be read or written."""

    status = 500
    error = "internal_server_error"


class StorageFull(CouchError):
    """The disk is full: nothing of the request was stored."""

    status = 507
    error = "insufficient_storage"


class FunctionFailed(CouchError):
    """A function of a design document threw, could not be compiled, or was stopped. `error` is its name."""

    status = 500

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error

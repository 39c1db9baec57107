"""Answers and request parameters, in CouchDB's manner."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from replication.errors import (
    BadContentType,
    BadRequest,
    CouchError,
    DocValidation,
    Forbidden,
    IllegalDocId,
)
from replication.http.intake import body_pieces
from replication.values import Rev
from replication.wire.decode import Refusal, check_utf8

T = TypeVar("T")

UNLIMITED = 10**15
"""No parameter counts further; as milliseconds it is longer than any server runs."""


def json_answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer, newline-terminated as CouchDB's."""
    return raw_answer(msgspec.json.encode(value) + b"\n", status=status, headers=headers)


def raw_answer(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """An answer whose JSON is encoded already."""
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "must-revalidate", **(headers or {})},
    )


def unchanged(request: web.Request, etag: str) -> bool:
    """Whether the client says that it has this already."""
    known = request.headers.get("If-None-Match", "").split(",")
    return etag in {tag.strip().removeprefix("W/") for tag in known}


def not_modified(etag: str) -> web.Response:
    """The answer to a client that has it already."""
    return web.Response(status=304, headers={"ETag": etag, "Cache-Control": "must-revalidate"})


def error_answer(error: CouchError) -> web.Response:
    """`{"error", "reason"}` with the error's status."""
    headers = {"Retry-After": "2"} if error.status in (429, 503) else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="sync-server"'
    return json_answer({"error": error.error, "reason": error.reason}, status=error.status, headers=headers)


def error_row(doc_id: str, rev: str | None, error: str, reason: str) -> dict[str, str]:
    """The row of one document that was not written."""
    row = {"id": doc_id, "error": error, "reason": reason}
    return row if rev is None else {**row, "rev": rev}


_REFUSALS = {kind.error: kind for kind in (BadRequest, DocValidation, Forbidden, IllegalDocId)}


def failure_of(refusal: Refusal) -> CouchError:
    """The failure of a request that brought one document only, and that was refused."""
    return _REFUSALS.get(refusal.error, Forbidden)(refusal.reason)


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises what `body_pieces` raises."""
    return b"".join([piece async for piece in body_pieces(request)])


async def read_json_body(request: web.Request) -> bytes:
    """The body of a POST that has to be JSON. Raises BadContentType, TooLarge, BadRequest.

    As CouchDB does: a page of another site can make a browser post a form, and not post this.
    """
    if request.content_type != "application/json":
        raise BadContentType("Content-Type must be application/json")
    return await read_body(request)


async def read_json(request: web.Request, kind: type[T]) -> T:
    """The body as `kind`. Raises BadRequest when it is not JSON of that shape."""
    body = await read_json_body(request)
    check_utf8(body)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"invalid_json: {error}") from error


def flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    """A boolean query parameter. Raises BadRequest for anything but true or false."""
    return flag_in(request.query, name, default=default)


def flag_in(parameters: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """A boolean among parameters. Raises BadRequest for anything but true or false."""
    text = parameters.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise BadRequest(f"Invalid boolean parameter: {name}={text!r}")
    return text == "true"


def number(text: str | None, name: str, *, default: int) -> int:
    """A query parameter that counts something, at most UNLIMITED. Raises BadRequest."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(f"The {name} parameter should be a non-negative integer: {text[:80]!r}")
    return UNLIMITED if len(text) > 15 else int(text)


def rev_of(text: str) -> Rev:
    """A revision from a URL or a body. Raises BadRequest."""
    try:
        return Rev.parse(text)
    except ValueError as error:
        raise BadRequest(str(error)) from error

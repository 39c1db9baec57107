"""Request bodies of the API, bounded and typed.

The server as a whole takes bodies of hundreds of megabytes, because replication needs it; a login does not.
Each route says how much it takes, and nothing beyond that is read into memory.

| body | refused with |
|---|---|
| larger than the route takes | 413, `details.limit` |
| no JSON, or not UTF-8 (half a surrogate pair too) | 400 |
| of another shape, with members that are not known | 422, `details.path` |
| a text or name with NUL, which Postgres cannot store | 422, `details.path` |
| nested too deeply | 422 |
"""

from collections.abc import Iterator
from email.parser import BytesParser
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from sync_server.api.parameters import convert_fields
from sync_server.errors import InvalidRequest, TooLarge, UnsupportedMediaType

_MOST_FIELDS = 40
_FORM = "application/x-www-form-urlencoded"

BODY_BYTES = web.RequestKey("body_bytes", bytes)
"""The body as it came, once it was read."""

Body = TypeVar("Body", bound=msgspec.Struct)


async def read_json(
    request: web.Request, body_type: type[Body], *, limit: int, any_text: bool = False
) -> Body:
    """The JSON body as `body_type`; `limit` in bytes. With `any_text` it may hold NUL.

    Raises TooLarge or InvalidRequest; msgspec.DecodeError (no JSON) and ValidationError (another shape) pass.
    """
    return decode_body(await _read(request, limit), body_type, any_text=any_text)


def decode_body(body: bytes, body_type: type[Body], *, any_text: bool = False, strict: bool = True) -> Body:
    """JSON as `body_type`; unless `strict`, texts stand for numbers too, as in forms. With `any_text` it may
    hold NUL. Raises as `read_json`.
    """
    try:
        decoded = msgspec.json.decode(body, type=body_type, strict=strict)
        # Rare, and looked for in the bytes first: bodies may have megabytes.
        if not any_text and b"\\u0000" in body:
            _refuse_nul(msgspec.json.decode(body))
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError("it is not UTF-8") from error
    return decoded


async def read_form(request: web.Request, form_type: type[Body], *, limit: int) -> Body:
    """The form body as `form_type`; `limit` in bytes.

    Raises TooLarge, UnsupportedMediaType or InvalidRequest.
    """
    return convert_fields(await read_form_pairs(request, limit=limit), form_type, what="form field")


async def read_form_pairs(
    request: web.Request, *, limit: int, most_fields: int = _MOST_FIELDS
) -> list[tuple[str, str]]:
    """Names and values of the form body; `limit` in bytes.

    Raises TooLarge, UnsupportedMediaType or InvalidRequest.
    """
    if request.content_type != _FORM:
        raise UnsupportedMediaType(f"This takes a form: {_FORM}.")
    body = await _read(request, limit)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=most_fields)
    except ValueError as error:
        raise InvalidRequest("The form is not UTF-8, or has too many fields.") from error


async def read_loose_form(request: web.Request, *, limit: int) -> list[tuple[str, str]]:
    """Names and values of a form as far as it can be read: URL-encoded, or in parts (`multipart/form-data`);
    none of another body. `limit` in bytes. Raises TooLarge.
    """
    body = await _read(request, limit)
    if request.content_type == _FORM:
        return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    if request.content_type != "multipart/form-data":
        return []
    header = request.headers.get("Content-Type", "").encode("ascii", "replace")
    parsed = BytesParser().parsebytes(b"Content-Type: " + header + b"\r\n\r\n" + body)
    found = []
    for part in parsed.walk():
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            found.append((name, value.decode(errors="replace").strip()))
    return found


async def read_text(request: web.Request, media_type: str, *, limit: int) -> str:
    """The body as text (UTF-8, a byte order mark is left out); `limit` in bytes.

    Raises TooLarge, UnsupportedMediaType or InvalidRequest.
    """
    if request.content_type != media_type:
        raise UnsupportedMediaType(f"This takes {media_type}.")
    try:
        return (await _read(request, limit)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The body is not UTF-8: byte {error.start} is no part of a character."
        ) from error


async def _read(request: web.Request, limit: int) -> bytes:
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(f"The body may have {limit} bytes.", details={"limit": limit})
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body may have {limit} bytes.", details={"limit": limit})
    request[BODY_BYTES] = bytes(body)
    return request[BODY_BYTES]


def _refuse_nul(value: Any) -> None:
    for path in _with_nul(value, "$"):
        raise InvalidRequest(
            f"{path} holds a character that no stored text has (NUL).", details={"path": path}
        )


def _with_nul(value: Any, path: str) -> Iterator[str]:
    match value:
        case str():
            if "\0" in value:
                yield path
        case list():
            for index, each in enumerate(value):
                yield from _with_nul(each, f"{path}[{index}]")
        case dict():
            for name, each in value.items():
                if "\0" in name:
                    yield path
                yield from _with_nul(each, f"{path}.{name}")

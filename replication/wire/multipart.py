r"""MIME multipart, read piece by piece as it arrives and written as CouchDB writes it.

A document with attachments travels as `multipart/related`: the JSON first, then the bytes of each attachment,
unencoded, so that neither side holds a picture as base64 text.

    --1f2e\r\n
    Content-Type: application/json\r\n\r\n
    {"_id":"a","_attachments":{"p.png":{"follows":true,"length":3,…}}}\r\n
    --1f2e\r\n
    Content-Disposition: attachment; filename="p.png"\r\n…\r\n\r\n
    …\r\n
    --1f2e--

The line break before a delimiter belongs to the delimiter, and a delimiter may be cut anywhere by the pieces
that the network makes of it. So the parser holds back what could still become one, and nothing else.

    what arrives                                          what happens
    --------------------------------------------------    ---------------------------------------------
    no boundary, or one that RFC 2046 does not allow      BadRequest
    text before the first delimiter, after the last       passed over
    `--1f2e` with more behind it on its line              data: another, longer boundary (nested parts)
    headers longer than HEADER_BYTES, or without colon    BadRequest
    more than MAX_PARTS parts                             BadRequest
    an end before the last delimiter                      BadRequest from `close`
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

import msgspec

from replication.errors import BadRequest

HEADER_BYTES = 16 * 1024
"""The headers of one part."""
MAX_PARTS = 10_000

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_AFTER_DELIMITER = re.compile(rb"(--)|[ \t]*\r\n")
_PADDING_BYTES = 64
"""Blanks that may stand between a delimiter and the end of its line."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class HeaderValue(msgspec.Struct, frozen=True):
    """`form-data; name="x"` as its value and parameters; names are in lower case."""

    value: str
    parameters: Mapping[str, str]


def parse_header(text: str) -> HeaderValue:
    """A header's value with its parameters. What is no parameter is left out."""
    value, _, _ = text.partition(";")
    parameters: dict[str, str] = {}
    position = len(value)
    while found := _PARAMETER.match(text, position):
        name, quoted, token = found.groups()
        parameters[name.lower()] = _ESCAPED.sub(r"\1", quoted) if quoted is not None else token
        position = found.end()
    return HeaderValue(value.strip().lower(), parameters)


def boundary_of(content_type: str) -> bytes:
    """The boundary that a `Content-Type: multipart/…` names. Raises BadRequest."""
    header = parse_header(content_type)
    if not header.value.startswith("multipart/"):
        raise BadRequest(f"{header.value[:80]!r} is not multipart")
    boundary = header.parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest("multipart without a boundary of 1 to 70 allowed characters")
    return boundary.encode()


class PartBegin(msgspec.Struct, frozen=True):
    """A part begins; its headers by lower-case name, the last one of a name counts."""

    headers: Mapping[str, str]


class PartData(msgspec.Struct, frozen=True):
    """Bytes of the part, never empty."""

    data: bytes


class PartEnd(msgspec.Struct, frozen=True):
    """The part is complete."""


Event = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = "before the first delimiter"
    DELIMITER = "behind a delimiter, on its line"
    HEADERS = "in the headers of a part"
    BODY = "in the bytes of a part"
    EPILOGUE = "behind the last delimiter"


class MultipartParser:
    """Events out of bytes: `feed` every piece, then `close`.

    Holds at most a delimiter, or the headers of one part, beside the piece that it is fed.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter may stand at the very beginning, without the line break before it.
        self._buffer = b"\r\n"
        self._state = _State.PREAMBLE
        self._parts = 0
        self._in_part = False

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What the next bytes bring. Run it to its end. Raises BadRequest."""
        self._buffer += piece
        progress = True
        while progress:
            if self._state is _State.EPILOGUE:
                self._buffer = b""
                return
            if self._state is _State.HEADERS:
                events, progress = self._headers()
            elif self._state is _State.DELIMITER:
                events, progress = self._behind_delimiter()
            else:
                events, progress = self._body()
            yield from events

    def close(self) -> None:
        """Raises BadRequest unless the last delimiter has come."""
        if self._state is not _State.EPILOGUE:
            raise BadRequest("the multipart body ends before its last delimiter")

    def _body(self) -> tuple[list[Event], bool]:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            # What is left could be the beginning of a delimiter.
            kept = self._buffer.rfind(b"\r", max(0, len(self._buffer) - len(self._delimiter) + 1))
            data, self._buffer = (
                (self._buffer, b"") if kept < 0 else (self._buffer[:kept], self._buffer[kept:])
            )
            return self._data(data), False
        data, self._buffer = self._buffer[:at], self._buffer[at:]
        self._state = _State.DELIMITER
        return self._data(data), True

    def _behind_delimiter(self) -> tuple[list[Event], bool]:
        size = len(self._delimiter)
        found = _AFTER_DELIMITER.match(self._buffer, size)
        if found is None:
            rest = self._buffer[size : size + _PADDING_BYTES]
            if len(rest) < _PADDING_BYTES and (rest in (b"", b"-") or not rest.strip(b" \t\r")):
                return [], False
            self._state = _State.BODY if self._in_part else _State.PREAMBLE
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return self._data(data), True
        ended: list[Event] = [PartEnd()] if self._in_part else []
        self._in_part = False
        if found[1] is not None:
            self._state = _State.EPILOGUE
            return ended, True
        # The line break stays: a part without headers has only one more before its bytes.
        self._buffer = self._buffer[found.end() - 2 :]
        self._state = _State.HEADERS
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadRequest(f"more than {MAX_PARTS} parts")
        return ended, True

    def _headers(self) -> tuple[list[Event], bool]:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEADER_BYTES or (end < 0 and len(self._buffer) > HEADER_BYTES):
            raise BadRequest(f"the headers of a part are longer than {HEADER_BYTES} bytes")
        if end < 0:
            return [], False
        headers = dict(map(_header_line, filter(None, self._buffer[:end].split(b"\r\n"))))
        self._buffer = self._buffer[end + 4 :]
        self._state, self._in_part = _State.BODY, True
        return [PartBegin(headers)], True

    def _data(self, data: bytes) -> list[Event]:
        return [PartData(data)] if data and self._in_part else []


def _header_line(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not name.strip():
        raise BadRequest("bad part header")
    return name.decode(errors="replace").strip().lower(), value.decode(errors="replace").strip()


def quoted(text: str) -> str:
    """A parameter's value in quotes. Names are their writer's: none may end the header or begin another."""
    visible = _CONTROL.sub(lambda found: f"%{ord(found.group()):02X}", text)
    return '"' + visible.replace("\\", "\\\\").replace('"', '\\"') + '"'


def header_text(text: str) -> str:
    """Text that may stand in a header: control characters are percent-encoded."""
    return _CONTROL.sub(lambda found: f"%{ord(found.group()):02X}", text)


def part_head(headers: Iterable[tuple[str, str]]) -> bytes:
    """What stands between a delimiter and the bytes of its part."""
    lines = "".join(f"\r\n{name}: {value}" for name, value in headers)
    return lines.encode() + b"\r\n\r\n"


def opening(boundary: bytes) -> bytes:
    """The delimiter before the first part."""
    return b"--" + boundary


def delimiter(boundary: bytes) -> bytes:
    """The delimiter between two parts."""
    return b"\r\n--" + boundary


CLOSING = b"--"
"""What makes a delimiter the last one."""

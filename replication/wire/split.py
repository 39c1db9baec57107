"""Cutting a JSON text into its members, and measuring how deep it nests, without decoding it.

A request may hold a thousand documents of which one nests so deep that a recursive decoder gives up. Each
document must be judged by itself, so the text is cut where the documents meet. Only strings and punctuation
are looked at; nothing recurses; what lies between is validated by whoever decodes the pieces.

This is the slow path: the fast one decodes the whole request and never comes here.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from replication.errors import BadRequest

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:"]', re.DOTALL)

_STEP = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))


class Piece(NamedTuple):
    """One element of an array, or one member of an object (`key` is its raw JSON string)."""

    key: bytes | None
    value: bytes


def split(container: bytes) -> list[Piece]:
    """The pieces of a JSON object or array. Raises BadRequest when brackets or strings do not match."""
    pieces: list[Piece] = []
    key: bytes | None = None
    in_array = False
    start = 0
    for mark, begin, end in _outermost(container):
        text = container[start:begin].strip()
        if mark in (b"{", b"["):
            if text:
                raise BadRequest("invalid_json: something precedes the first bracket")
            in_array = mark == b"["
        elif mark == b":":
            if in_array or key is not None:
                raise BadRequest("invalid_json: a colon is out of place")
            key = text
        elif text:
            pieces.append(Piece(key, text))
            key = None
        elif mark == b"," or key is not None or pieces:
            raise BadRequest("invalid_json: a value is missing")
        start = end
    if container[start:].strip():
        raise BadRequest("invalid_json: something follows the end")
    return pieces


def _outermost(container: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The punctuation of the outermost object or array, its brackets included, with where it is."""
    closing: list[bytes] = []
    for token in _TOKEN.finditer(container):
        mark = token.group()
        if mark == b'"':
            raise BadRequest("invalid_json: a string does not end")
        if mark in (b"}", b"]") and (not closing or closing.pop() != mark):
            raise BadRequest("invalid_json: brackets do not match")
        if (len(closing) == 1 and mark in (b",", b":")) or (not closing and not mark.startswith(b'"')):
            yield mark, token.start(), token.end()
        if mark in (b"{", b"["):
            closing.append(b"}" if mark == b"{" else b"]")
        elif not closing and mark in (b"}", b"]"):
            return
    raise BadRequest("invalid_json: the text ends too early")


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether a valid JSON text nests objects and arrays deeper than that."""
    # Most documents have fewer brackets altogether, which is counted in a tenth of the time.
    return text.count(b"{") + text.count(b"[") > levels and nesting(text) > levels


def nesting(text: bytes) -> int:
    """How deep a valid JSON text nests objects and arrays; 0 for a scalar. Linear in the text, no recursion.

    Brackets inside strings count for nothing: escapes are cut out, then empty pairs of quotes (which leaves
    every other quote as it was, opening or closing), then what is left between quotes.
    """
    if b'\\"' in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = text.translate(_STEP, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    return max(accumulate(memoryview(marks).cast("b")), default=0)

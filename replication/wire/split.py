"""Cutting a JSON text into its members without decoding it.

A request may hold a thousand documents of which one cannot be decoded: a lone surrogate, a number beyond
float64, or nesting so deep that a recursive decoder gives up. Each document must be judged by itself, so
the text is cut where the documents meet. Only strings and punctuation are looked at; nothing recurses; what
lies between is validated by whoever decodes the pieces.

This is the slow path: the fast one decodes the whole request and never comes here.
"""

import re
from typing import NamedTuple

from replication.errors import BadRequest

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:"]', re.DOTALL)
_BRACKETS_ONLY = bytes(set(range(256)) - set(b"[]{}"))


class Piece(NamedTuple):
    """One element of an array, or one member of an object (`key` is its raw JSON string)."""

    key: bytes | None
    value: bytes
    depth: int
    """Levels of nesting inside the value; a number or a string has none."""


def split(container: bytes) -> list[Piece]:
    """The pieces of a JSON object or array. Raises BadRequest when brackets or strings do not match."""
    pieces: list[Piece] = []
    stack: list[bytes] = []
    start = deepest = 0
    key: bytes | None = None
    for token in _TOKEN.finditer(container):
        mark = token.group()
        if mark in (b"{", b"["):
            stack.append(b"}" if mark == b"{" else b"]")
            deepest = max(deepest, len(stack) - 1)
            if len(stack) == 1:
                start = token.end()
        elif mark == b'"':
            raise BadRequest("invalid_json: a string does not end")
        elif mark in (b"}", b"]"):
            if not stack or stack.pop() != mark:
                raise BadRequest("invalid_json: brackets do not match")
            if not stack:
                last = container[start : token.start()].strip()
                if last or key is not None:
                    pieces.append(Piece(key, last, deepest))
                if container[token.end() :].strip():
                    raise BadRequest("invalid_json: something follows the end")
                return pieces
        elif len(stack) == 1 and mark == b":":
            key, start = container[start : token.start()].strip(), token.end()
        elif len(stack) == 1 and mark == b",":
            pieces.append(Piece(key, container[start : token.start()].strip(), deepest))
            key, start, deepest = None, token.end(), 0
    raise BadRequest("invalid_json: the text ends too early")


def nested_deeper_than(text: bytes, limit: int) -> bool:
    """Whether a valid JSON text nests objects and arrays more than `limit` deep.

    Peels the innermost pairs off the bare brackets, one level a round: a few rounds for ordinary documents.
    Brackets inside strings can only make it look deeper, so a suspect is counted exactly before it is blamed.
    """
    brackets = text.translate(None, delete=_BRACKETS_ONLY)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets) and exact_depth(text) > limit


def exact_depth(text: bytes) -> int:
    """Levels of nesting of a JSON text, strings left out."""
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif mark in (b"}", b"]"):
            depth -= 1
    return deepest

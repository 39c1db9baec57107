r"""Mending what JSON allows and no store can keep: lone surrogates and numbers beyond float64.

`"\ud83d"` alone names no character, and `1e999` no float64. Apache CouchDB refuses the *whole* batch for
one of them, and then the tablet's replication never moves on. Here the surrogate becomes U+FFFD and the
number null, in that document alone; the caller keeps the original bytes and says what was changed. Every
other byte stays as it was sent.
"""

import re
from typing import NamedTuple

import msgspec

from replication.errors import BadRequest

_STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?[0-9][0-9.eE+-]*+', re.DOTALL)
# An escape is consumed as a whole, so that the backslash of `\\ud83d` is not taken for the start of another.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONGEST_FLOAT = b"0" * 309
"""309 digits and more may lie beyond float64, which ends at 1.8e308."""

SURROGATE_NOTE = "a lone surrogate became U+FFFD"
NUMBER_NOTE = "a number beyond float64 became null"

_anything = msgspec.json.Decoder()


class Normalised(NamedTuple):
    """A document that can be stored, and what had to be changed for that; no notes: nothing had to."""

    text: bytes
    notes: tuple[str, ...]


def has_huge_integer(text: bytes) -> bool:
    """Whether a run of 309 digits or more occurs: decoders read it as an integer that no float64 holds."""
    return len(text) >= 309 and _LONGEST_FLOAT in text.translate(_TO_ZERO)


def normalise(text: bytes) -> Normalised:
    """The text with what cannot be kept mended. Its nesting must have been checked.

    Raises BadRequest if it's not JSON.
    """
    notes: dict[str, None] = {}

    def escape(found: re.Match[bytes]) -> bytes:
        if found["lone"] is None:
            return found.group()
        notes[SURROGATE_NOTE] = None
        return rb"\ufffd"

    def token(found: re.Match[bytes]) -> bytes:
        sent = found.group()
        if sent.startswith(b'"'):
            return _ESCAPE.sub(escape, sent) if _SURROGATE_ESCAPE.search(sent) else sent
        if _is_infinite(sent):
            notes[NUMBER_NOTE] = None
            return b"null"
        return sent

    mended = _STRING_OR_NUMBER.sub(token, text)
    try:
        _anything.decode(mended)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"invalid_json: {error}") from error
    return Normalised(mended, tuple(notes))


def _is_infinite(digits: bytes) -> bool:
    try:
        return float(digits) in (float("inf"), float("-inf"))
    except ValueError:
        return False

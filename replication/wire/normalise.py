r"""Mending what JSON allows and no store can keep: lone surrogates and numbers beyond float64.

`"\ud83d"` alone names no character, and `1e999` no float64. Apache CouchDB refuses the *whole* batch for
one of them, and then the tablet's replication never moves on. Here the surrogate becomes U+FFFD and the
number null, in that document alone; the caller keeps the original bytes and says what was changed.
"""

import json
import re
from typing import Any, NamedTuple, NoReturn

import msgspec

from replication.errors import BadRequest

_SURROGATE = re.compile("[\ud800-\udfff]")
_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONGEST_FLOAT = b"0" * 309
"""309 digits and more may lie beyond float64, which ends at 1.8e308."""

SURROGATE_NOTE = "a lone surrogate became U+FFFD"
NUMBER_NOTE = "a number beyond float64 became null"


class Normalised(NamedTuple):
    """A document that can be stored, and what had to be changed for that."""

    text: bytes
    notes: tuple[str, ...]


def has_huge_integer(text: bytes) -> bool:
    """Whether a run of 309 digits or more occurs: decoders read it as an integer that no float64 holds."""
    return len(text) >= 309 and _LONGEST_FLOAT in text.translate(_TO_ZERO)


def normalise(text: bytes) -> Normalised:
    """Decode leniently, mend, encode again. Nesting must have been checked. Raises BadRequest if it's not
    JSON.
    """
    notes: dict[str, None] = {}

    def number(read: Any, digits: str) -> Any:
        if float(digits) in (float("inf"), float("-inf")):
            notes[NUMBER_NOTE] = None
            return None
        return read(digits)

    def no_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(
            text,
            parse_float=lambda digits: number(float, digits),
            parse_int=lambda digits: number(int, digits),
            parse_constant=no_number,
        )
    except ValueError as error:
        raise BadRequest(f"invalid_json: {error}") from error
    return Normalised(msgspec.json.encode(_mended(value, notes)), tuple(notes))


def _mended(value: Any, notes: dict[str, None]) -> Any:
    if isinstance(value, str):
        if not _SURROGATE.search(value):
            return value
        notes[SURROGATE_NOTE] = None
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_mended(key, notes): _mended(member, notes) for key, member in value.items()}
    if isinstance(value, list):
        return [_mended(element, notes) for element in value]
    return value

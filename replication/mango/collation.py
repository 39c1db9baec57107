"""JSON values as byte keys that compare in CouchDB's collation order.

    null < false < true < numbers < strings < arrays < objects

Arrays compare element by element, objects member by member in the order of their members, and whatever ends
first is less. The keys make this order SQLite's: an index is a table of them, a range of values a range of
bytes. A key is self-delimiting, so the keys of several columns are simply put one after the other; `AFTER`
put behind a key lies above everything that begins with it.

The id of a document is the exception: CouchDB sorts ids bytewise everywhere.
"""

import math
import struct
from typing import Any

from replication.mango.text_order import prefix_key, text_key

AFTER = b"\xff"

_NULL, _FALSE, _TRUE, _NUMBER, _STRING, _ARRAY, _OBJECT = (bytes([tag]) for tag in range(1, 8))
_END = b"\x00"

ID_PATH = ("_id",)
Path = tuple[str, ...]


def key(value: Any) -> bytes:
    """The key of a decoded JSON value, nested as deep as documents may be."""
    out = bytearray()
    _append(out, value)
    return bytes(out)


def column_key(path: Path, value: Any) -> bytes:
    """The key of a value that is found at `path`."""
    if path == ID_PATH and isinstance(value, str):
        return _STRING + value.encode().replace(b"\x00", b"\x00\xff") + _END
    return key(value)


def beginning_key(path: Path, prefix: str) -> bytes:
    """What the keys of all strings at `path` that begin with `prefix` begin with."""
    if path == ID_PATH:
        return _STRING + prefix.encode().replace(b"\x00", b"\x00\xff")
    return _STRING + prefix_key(prefix)


def _append(out: bytearray, value: Any) -> None:
    # One frame a level: documents nest up to 500 levels.
    if isinstance(value, str):
        out += _STRING
        out += text_key(value)
    elif isinstance(value, bool):
        out += _TRUE if value else _FALSE
    elif isinstance(value, (int, float)):
        out += _NUMBER
        out += _number(value)
    elif isinstance(value, list):
        out += _ARRAY
        for element in value:
            _append(out, element)
        out += _END
    elif isinstance(value, dict):
        out += _OBJECT
        for name, member in value.items():
            out += _STRING
            out += text_key(name)
            _append(out, member)
        out += _END
    else:
        out += _NULL


def _number(value: float) -> bytes:
    """The greatest float64 that is not above the number, and how far above it the number is: exact."""
    above = 0
    if isinstance(value, int):
        try:
            floor = float(value)
        except OverflowError:
            floor = math.inf if value > 0 else -math.inf
        else:
            if floor > value:
                floor = math.nextafter(floor, -math.inf)
            above = value - int(floor)
    else:
        floor = value
    bits = int.from_bytes(struct.pack(">d", floor + 0.0), "big")
    # Negative floats sort by their complement, the others behind them.
    ordered = bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 0x8000000000000000)
    size = (above.bit_length() + 7) // 8
    return ordered.to_bytes(8, "big") + size.to_bytes(2, "big") + above.to_bytes(size, "big")

"""`Range: bytes=…` as CouchDB reads it.

Range                                what is sent
---------------------------------    --------------------------------------------
none, malformed, another unit        everything (200)
`bytes=0-`, ten ranges or more       everything (200)
one range                            that piece (206, Content-Range)
two to nine ranges                   those pieces (206, multipart/byteranges)
a range that begins behind the end   RangeNotSatisfiable (416)
"""

import re
from typing import NamedTuple

from replication.errors import RangeNotSatisfiable

MANY = 10
"""From so many ranges on, everything is sent: they cost more than they save."""

_ONE = re.compile(r"\s*([0-9]{0,15})\s*-\s*([0-9]{0,15})\s*")


class ByteRange(NamedTuple):
    """Bytes from `start` to `last`, both included."""

    start: int
    last: int

    def of(self, length: int) -> str:
        """The `Content-Range` of this range."""
        return f"bytes {self.start}-{self.last}/{length}"


def byte_ranges(header: str | None, length: int) -> list[ByteRange] | None:
    """The ranges that the header asks for; None: everything. Raises RangeNotSatisfiable."""
    unit, _, text = (header or "").partition("=")
    if unit.strip().lower() != "bytes":
        return None
    found = [_ONE.fullmatch(one) for one in text.split(",")]
    if len(found) >= MANY:
        return None
    ranges = []
    for one in found:
        if one is None or one.groups() == ("", ""):
            return None
        start, last = one.groups()
        if start == "":
            wanted = ByteRange(max(0, length - int(last)), length - 1)
        elif last == "":
            if int(start) == 0:
                return None
            wanted = ByteRange(int(start), length - 1)
        else:
            wanted = ByteRange(int(start), min(int(last), length - 1))
        if wanted.last < wanted.start:
            raise RangeNotSatisfiable
        ranges.append(wanted)
    return ranges

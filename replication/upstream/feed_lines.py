"""A changes feed on its way through, row by row: what its caller may not see does not pass. Pure.

frame           what arrives                                  what passes
------------    ------------------------------------------    --------------------------------------------
listed          `{"results":[`, a row a line with commas      the rows that may be seen, commas set anew
                behind it, `],`, `"last_seq":…}`
listed          all of it in one line (other servers)         the same, once it is complete
continuous      a row a line; at last `{"last_seq":…}`        the rows that may be seen, the end
eventsource     `data: {…}` and `id: …`, an empty line        the events that may be seen
all             an empty line, `event: heartbeat`             as it is
all             anything else                                 Unavailable: the connection is cut

What ends a feed before the store ends it may not look like more than it is: a client that asked once and
reads an end takes itself to be through.

feed            ended here and now
------------    ------------------------------------------------------------------------------------------
normal          cannot be: what is left of it is not known
longpoll        before its first row: with its last sequence, as at its timeout; later it cannot be
continuous      with its last sequence; without `pending`, which is not known
eventsource     it just stops
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from replication.errors import Unavailable

MOST_HELD = 64 * 1024 * 1024
"""Bytes of a row, or of a feed that is one line."""

MaySee = Callable[[str], bool]


class _Row(msgspec.Struct):
    id: str | UnsetType = UNSET
    seq: msgspec.Raw = msgspec.Raw()
    last_seq: msgspec.Raw = msgspec.Raw()


class _Whole(msgspec.Struct):
    results: list[msgspec.Raw]


_row = msgspec.json.Decoder(_Row)
_whole = msgspec.json.Decoder(_Whole)
_anything: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def _not_a_feed(line: bytes) -> Unavailable:
    return Unavailable(f"the store's feed has a line that is none of a feed: {line[:80]!r}")


def _decoded(line: bytes) -> _Row:
    try:
        return _row.decode(line)
    except msgspec.DecodeError as error:
        raise _not_a_feed(line) from error


class Lines(ABC):
    """`feed` every piece, write what it returns; then `close`, or `ending` where it has to end before that.
    `since` is where the feed begins, as JSON; None: nobody knows.
    """

    def __init__(self, may_see: MaySee, since: bytes | None = None) -> None:
        self._may_see = may_see
        self._held: list[bytes] = []
        self._size = 0
        self.last_seq = since
        """The sequence of the last row, as JSON; before the first, where the feed begins."""
        self.complete = False
        """Whether the end was there."""

    def feed(self, piece: bytes) -> bytes:
        """What passes of the next bytes. Raises Unavailable."""
        if b"\n" not in piece:
            self._hold(piece)
            return b""
        lines = piece.split(b"\n")
        lines[0] = b"".join(self._held) + lines[0]
        self._held, self._size = [], 0
        self._hold(lines.pop())
        return b"".join(map(self.line, lines))

    def close(self) -> bytes:
        """What passes of a last line without its end. Raises Unavailable for a feed that is not complete."""
        left = b"".join(self._held)
        passed = self.line(left) if left.strip() else b""
        if not self.complete:
            raise Unavailable("the store's feed ended too early")
        return passed

    @abstractmethod
    def line(self, line: bytes) -> bytes:
        """What passes of a line."""

    @abstractmethod
    def ending(self) -> bytes | None:
        """What ends the feed here and now; None: it cannot be ended."""

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._held.append(piece)
            self._size += len(piece)
            if self._size > MOST_HELD:
                raise Unavailable(f"a line of the store's feed is longer than {MOST_HELD} bytes")

    def _passes(self, row: _Row) -> bool:
        self.last_seq = bytes(row.seq) or self.last_seq
        return not isinstance(row.id, UnsetType) and self._may_see(row.id)


class ListedLines(Lines):
    """`normal`."""

    def __init__(self, may_see: MaySee, since: bytes | None = None) -> None:
        super().__init__(may_see, since)
        self._begun = False
        self._ended = False
        self._first = True

    def line(self, line: bytes) -> bytes:
        text = line.strip()
        if not text:
            return b"\n"
        if not self._begun:
            return self._beginning(text)
        if self._ended:
            self.complete = text.endswith(b"}")
            return line + b"\n"
        if text.startswith(b"]"):
            return self._end(text)
        text = text.strip(b",").strip()
        return self._listed(text) if text else b""

    def _beginning(self, text: bytes) -> bytes:
        self._begun = True
        if text == b'{"results":[':
            return text + b"\n"
        try:
            rows = [bytes(raw) for raw in _whole.decode(text).results]
            others = {name: value for name, value in _anything.decode(text).items() if name != "results"}
        except msgspec.DecodeError as error:
            raise _not_a_feed(text) from error
        self._ended = self.complete = True
        listed = b"".join(map(self._listed, rows))
        return b'{"results":[\n' + listed + b"\n],\n" + msgspec.json.encode(others)[1:] + b"\n"

    def _listed(self, text: bytes) -> bytes:
        if not self._passes(_decoded(text)):
            return b""
        separator, self._first = b"" if self._first else b",\n", False
        return separator + text

    def _end(self, text: bytes) -> bytes:
        """`],` with what follows in the next line, or in this one."""
        self._ended = True
        rest = text[1:].lstrip(b", ")
        self.complete = rest.endswith(b"}")
        return b"\n],\n" + (rest + b"\n" if rest else b"")

    def ending(self) -> bytes | None:
        return None


class LongpollLines(ListedLines):
    """`longpoll`."""

    def ending(self) -> bytes | None:
        if self._ended or not self._first or self.last_seq is None:
            return None
        begin = b"" if self._begun else b'{"results":[\n'
        return begin + b'\n],\n"last_seq":' + self.last_seq + b"}\n"


class ContinuousLines(Lines):
    """`continuous`."""

    def line(self, line: bytes) -> bytes:
        text = line.strip()
        if not text:
            return b"\n"
        row = _decoded(text)
        if bytes(row.last_seq):
            self.complete = True
            return text + b"\n"
        return text + b"\n" if self._passes(row) else b""

    def ending(self) -> bytes | None:
        return None if self.last_seq is None else b'{"last_seq":' + self.last_seq + b"}\n"


class EventLines(Lines):
    """`eventsource`. Nothing tells its end."""

    def __init__(self, may_see: MaySee, since: bytes | None = None) -> None:
        super().__init__(may_see, since)
        self._event: list[bytes] = []
        self.complete = True

    def line(self, line: bytes) -> bytes:
        if line.strip():
            self._event.append(line)
            return b""
        event, self._event = self._event, []
        data = b"\n".join(each[5:].strip() for each in event if each.startswith(b"data:")).strip()
        if data and not self._passes(_decoded(data)):
            return b""
        return b"".join(each + b"\n" for each in (*event, b""))

    def ending(self) -> bytes | None:
        return b""

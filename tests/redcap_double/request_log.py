"""Every request that reached the double, so that tests can count them and see how fast they came.

No token is kept: a request is known by its user.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

MINUTE = timedelta(minutes=1)


class Ending(StrEnum):
    """What became of a request on the wire."""

    ANSWERED = "answered"
    CUT = "cut"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; status 0 where nothing was sent back."""

    number: int
    at: datetime
    """Server time."""
    content: str
    action: str
    remote: str
    username: str
    status: int
    ending: Ending = Ending.ANSWERED
    faults: tuple[str, ...] = ()
    size: int = 0
    """Bytes of the `data` sent."""


@dataclass
class RequestLog:
    """In the order in which they were answered."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """One more."""
        self.entries.append(entry)

    def clear(self) -> None:
        """Forget them, as before the part of a test that counts."""
        self.entries.clear()

    def of(self, content: str = "", action: str = "") -> list[Entry]:
        """Those of a content and an action; all where blank."""
        return [
            entry for entry in self.entries if content in ("", entry.content) and action in ("", entry.action)
        ]

    def count(self, content: str = "", action: str = "") -> int:
        """How many of them."""
        return len(self.of(content, action))

    def by_kind(self) -> Counter[tuple[str, str]]:
        """(content, action) → how many."""
        return Counter((entry.content, entry.action) for entry in self.entries)

    def by_minute(self) -> Counter[str]:
        """Minute of the clock, `2026-01-01 08:00` → how many."""
        return Counter(entry.at.strftime("%Y-%m-%d %H:%M") for entry in self.entries)

    def busiest_minute(self, counts: Callable[[Entry], bool] = lambda entry: True) -> int:  # noqa: ARG005
        """The most requests in any 60 seconds."""
        moments = sorted(entry.at for entry in self.entries if counts(entry))
        most = first = 0
        for last, moment in enumerate(moments):
            while moment - moments[first] >= MINUTE:
                first += 1
            most = max(most, last - first + 1)
        return most

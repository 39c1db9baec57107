"""Which databases were created, changed or deleted, each at its last event: what `_db_updates` shows.

It is kept in memory only. After a start every database that is there counts as updated once, and a position
that an earlier process handed out means "from the start": a follower looks at a database once too often, and
passes none over.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from replication.store.signal import Signal

_LONGEST = 18
"""Digits of a position: this process cannot have handed out more."""

EventKind = Literal["created", "updated", "deleted"]


class DatabaseEvent(msgspec.Struct, frozen=True):
    """A database's last event. `number` is its place among all events of this process."""

    number: int
    name: str
    kind: EventKind


class DatabaseUpdates:
    """The last event of every database. `epoch` tells this process from the ones before it."""

    def __init__(self, changed: Signal, *, epoch: str, there: Iterable[str]) -> None:
        self._changed = changed
        self._epoch = epoch
        # In the order of the numbers: an event takes its database's older one away.
        self._events: dict[str, DatabaseEvent] = {}
        self._number = 0
        for name in there:
            self._note(name, "updated")

    @property
    def number(self) -> int:
        """The number of the last event."""
        return self._number

    def note(self, name: str, kind: EventKind) -> None:
        """It happened: wake who waits. Call it on the event loop."""
        self._note(name, kind)
        self._changed.notify()

    def _note(self, name: str, kind: EventKind) -> None:
        self._events.pop(name, None)
        self._number += 1
        self._events[name] = DatabaseEvent(self._number, name, kind)

    def sequence(self, number: int) -> str:
        """A position as clients see it."""
        return f"{number}-{self._epoch}"

    def since(self, text: str) -> int:
        """The number of a client's position: `0`, `now`, or what `sequence` gave; all else is the start."""
        if text == "now":
            return self._number
        digits, _, epoch = text.strip('"').partition("-")
        known = epoch == self._epoch and digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST
        number = int(digits) if known else 0
        return number if number <= self._number else 0

    def after(self, number: int) -> list[DatabaseEvent]:
        """The events after `number`, oldest first."""
        found: list[DatabaseEvent] = []
        for event in reversed(self._events.values()):
            if event.number <= number:
                break
            found.append(event)
        return found[::-1]

"""The records of a project: rows of values, locks, who changed what and when.

A row is addressed by record, event, repeating form and instance. Values of forms that do not repeat stand at
form "" and instance 0; those of a repeating event at form "" and an instance from 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


class Place(NamedTuple):
    """The address of a row."""

    record: str
    event: str
    instrument: str = ""
    instance: int = 0


class Lock(NamedTuple):
    """A locked record (form ""), or one form of it; event "" and instance None mean all of them."""

    record: str
    form: str = ""
    event: str = ""
    instance: int | None = None


class LogRow(NamedTuple):
    """One line of the project's log."""

    at: datetime
    username: str
    action: str
    details: str
    record: str
    group: str = ""

    def row(self) -> dict[str, str]:
        """As `content=log` answers."""
        return {
            "timestamp": self.at.strftime("%Y-%m-%d %H:%M"),
            "username": self.username,
            "action": self.action,
            "details": self.details,
            "record": self.record,
        }


@dataclass
class Records:
    """What people and imports have put in."""

    rows: dict[Place, dict[str, str]] = field(default_factory=dict)
    """To look at; `write` and `delete` change it."""
    groups: dict[str, str] = field(default_factory=dict)
    """Record → unique name of its data access group."""
    locks: set[Lock] = field(default_factory=set)
    log: list[LogRow] = field(default_factory=list)
    """Oldest first."""
    changed: dict[str, list[datetime]] = field(default_factory=dict)
    """Record → every moment at which it was made or changed."""
    _places: dict[str, set[Place]] = field(default_factory=dict, repr=False)
    """Record → its rows."""

    def names(self) -> list[str]:
        """All records, numbers first and by their size."""
        return sorted(
            self._places, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
        )

    def has(self, record: str) -> bool:
        """Whether there is such a record."""
        return record in self._places

    def of(self, record: str) -> list[Place]:
        """Its rows, in order."""
        return sorted(self._places.get(record, ()))

    def instances(self, record: str, event: str, instrument: str) -> list[int]:
        """The instances that are there, in order."""
        return sorted(
            place.instance
            for place in self._places.get(record, ())
            if place[1:3] == (event, instrument) and place.instance > 0
        )

    def is_locked(self, place: Place, form: str) -> bool:
        """Whether a form's values in a row may not be changed."""
        return any(
            lock.record == place.record
            and lock.form in ("", form)
            and lock.event in ("", place.event)
            and lock.instance in (None, max(place.instance, 1))
            for lock in self.locks
        )

    def write(
        self, place: Place, values: Mapping[str, str], *, at: datetime, username: str, how: str = " (API)"
    ) -> bool:
        """Store values, "" to erase; False and no line in the log where nothing changes by it.

        Without a value a new record is made, but no row of one that is there.
        """
        is_new = not self.has(place.record)
        row = self.rows.get(place, {})
        changes = {name: value for name, value in values.items() if row.get(name, "") != value}
        if not changes and not (is_new and place.instance == 0):
            return False
        self.rows[place] = {name: value for name, value in (row | changes).items() if value != ""}
        self._places.setdefault(place.record, set()).add(place)
        self.changed.setdefault(place.record, []).append(at)
        instance = [f"[instance = {place.instance}]"] if place.instance > 1 else []
        details = ",\n".join(instance + [f"{name} = '{value}'" for name, value in changes.items()])
        action = f"{'Create' if is_new else 'Update'} record{how} {place.record}"
        group = self.groups.get(place.record, "")
        self.log.append(LogRow(at, username, action, details, place.record, group))
        return True

    def delete(self, record: str, places: list[Place], *, at: datetime, username: str) -> None:
        """Remove rows; the record is gone with its last one."""
        for place in places:
            self.rows.pop(place, None)
            self._places.get(record, set()).discard(place)
        if not self._places.get(record):
            self._places.pop(record, None)
            self.groups.pop(record, None)
            self.changed.pop(record, None)
            self.locks = {lock for lock in self.locks if lock.record != record}
        action = f"Delete record (API) {record}"
        self.log.append(LogRow(at, username, action, f"record = '{record}'", record))

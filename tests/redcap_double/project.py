"""A project: its dictionary, its events and what repeats in them, its groups and users, and its records.

Everything that an import or an export needs to know is here; nothing here knows HTTP or a clock. A project
with at most one event is classic: no event is ever named. Mutable, as a project is: people edit it while it
is used.
"""

from dataclasses import dataclass, field

from tests.redcap_double.dictionary import Dictionary
from tests.redcap_double.records import Records

CLASSIC_EVENT = "event_1_arm_1"

FULL_DATA, DE_IDENTIFIED, NO_IDENTIFIERS, NO_ACCESS = 1, 2, 3, 0


@dataclass(frozen=True, slots=True)
class Arm:
    """A group of events."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Event:
    """A point of time in an arm; `name` is the unique one, as `baseline_arm_1`."""

    name: str
    label: str
    arm: int = 1
    forms: tuple[str, ...] = ()
    """The forms that are filled in there."""


@dataclass(frozen=True, slots=True)
class Group:
    """A data access group. `number` stands before the record numbers of its users."""

    name: str
    label: str
    number: int


@dataclass
class User:
    """Who a token stands for. Rights are taken away by setting them, a token by setting it to ""."""

    username: str
    token: str = field(repr=False)
    api_export: bool = True
    api_import: bool = True
    record_create: bool = True
    record_delete: bool = True
    logging: bool = True
    data_access_groups: bool = True
    data_export: int = FULL_DATA
    group: str = ""
    """The unique name of the group whose records alone are seen."""


@dataclass
class Project:
    """One project of a server."""

    dictionary: Dictionary
    events: tuple[Event, ...] = ()
    arms: tuple[Arm, ...] = (Arm(1, "Arm 1"),)
    repeating: dict[str, frozenset[str] | None] = field(default_factory=dict)
    """Event → the forms that repeat in it; None where the event as a whole repeats."""
    groups: tuple[Group, ...] = ()
    users: list[User] = field(default_factory=list)
    title: str = "Double"
    number: int = 1
    records: Records = field(default_factory=Records)
    files: dict[tuple[str, str, int, str], tuple[str, bytes]] = field(default_factory=dict)
    """(record, event, instance, field) → (file name, content)."""

    @property
    def is_longitudinal(self) -> bool:
        """Whether rows name an event."""
        return len(self.events) > 1

    @property
    def is_repeating(self) -> bool:
        """Whether rows have the two columns of repeats."""
        return bool(self.repeating)

    @property
    def event_names(self) -> list[str]:
        """All unique names, in order; one for a classic project."""
        return [event.name for event in self.events] or [CLASSIC_EVENT]

    def event(self, name: str) -> Event:
        """The event of that name."""
        for event in self.events:
            if event.name == name:
                return event
        return Event(CLASSIC_EVENT, "Event 1", 1, tuple(self.dictionary.forms))

    def forms_of(self, event: str) -> tuple[str, ...]:
        """The forms filled in at an event: all of them in a classic project."""
        return self.event(event).forms if self.is_longitudinal else tuple(self.dictionary.forms)

    def event_repeats(self, event: str) -> bool:
        """Whether the event as a whole does."""
        return event in self.repeating and self.repeating[event] is None

    def repeating_forms(self, event: str) -> frozenset[str]:
        """The forms that repeat by themselves in an event."""
        return self.repeating.get(event) or frozenset()

    def forms_of_row(self, event: str, instrument: str) -> frozenset[str]:
        """The forms whose values stand in a row: one for a repeating form, else those that do not repeat."""
        if instrument:
            return frozenset({instrument})
        return frozenset(self.forms_of(event)) - self.repeating_forms(event)

    def user(self, token: str) -> User | None:
        """Whose token it is."""
        return next((user for user in self.users if token and user.token == token), None)

    def group(self, name: str) -> Group | None:
        """The group of that unique name."""
        return next((group for group in self.groups if group.name == name), None)

    def next_record_name(self, user: User) -> str:
        """One more than the highest number; of a group's user `<group>-<number>`."""
        prefix = f"{group.number}-" if (group := self.group(user.group)) else ""
        taken = [
            int(name.removeprefix(prefix))
            for name in self.records.names()
            if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
        ]
        return f"{prefix}{max(taken, default=0) + 1}"

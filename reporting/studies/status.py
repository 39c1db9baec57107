"""In which states a study can be, and how it gets from one to another.

    draft ──start──▶ active ◀──resume── paused
                       │ └─────pause──────▲ │
                       └──complete──▶ completed ◀──complete──┘
                       ▲                 │
                       └─────reopen──────┘  by an admin, with a reason

Tablets have a study while it is active or paused; in `paused` they collect nothing new.
"""

from typing import Literal, NamedTuple

Status = Literal["draft", "active", "paused", "completed"]

IN_THE_FIELD: frozenset[Status] = frozenset({"active", "paused"})


class Transition(NamedTuple):
    """What it takes."""

    needs_reason: bool = False
    needs_admin: bool = False


TRANSITIONS: dict[tuple[Status, Status], Transition] = {
    ("draft", "active"): Transition(),
    ("active", "paused"): Transition(needs_reason=True),
    ("paused", "active"): Transition(),
    ("active", "completed"): Transition(needs_reason=True),
    ("paused", "completed"): Transition(needs_reason=True),
    ("completed", "active"): Transition(needs_reason=True, needs_admin=True),
}
"""Those that exist."""


def reachable(status: Status) -> list[Status]:
    """To which a study in this one can be brought."""
    return [new for old, new in TRANSITIONS if old == status]


def changes_what_tablets_have(old: Status, new: Status) -> bool:
    """Whether all documents of the study come or go, and not its own alone."""
    return (old in IN_THE_FIELD) != (new in IN_THE_FIELD)

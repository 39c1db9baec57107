"""What has to be changed so that the reminders that are stored are those that are wanted. Pure.

| stored | wanted | what is done |
|---|---|---|
| nothing | planned | planned |
| planned, queued | planned at another time | planned anew |
| … | not, or by no rule any more | cancelled, with the reason |
| cancelled by a person | whatever | nothing: it stays so |
| superseded, too late, beyond the day's limit | planned at another time | planned again |
| … | at the same time | nothing |
| cancelled for another reason | planned | planned again |
| being sent, sent, failed | whatever | nothing: nobody is reminded twice |
| cancelled, and somebody may have it: nobody knows what came of handing it over | whatever | nothing |

The same twice changes nothing the second time.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

from reporting.reminders.schedule import Key, Planned, Reason, Unwanted, Wish

State = Literal["planned", "queued", "sending", "sent", "cancelled", "failed"]

OPEN: Final = ("planned", "queued")
_ONLY_AT_ANOTHER_TIME: Final = ("superseded", "too_late", "daily_limit")


class Stored(NamedTuple):
    """A reminder, as its row has it."""

    id: int
    key: Key
    planned_at: datetime
    useful_until: datetime
    state: State
    reason: str | None
    may_be_there: bool = False
    """It was handed over, and not refused."""


class Changes(NamedTuple):
    """To plan (anew), and to cancel: (id, reason)."""

    plan: list[Planned]
    cancel: list[tuple[int, Reason]]


def changes(wishes: Iterable[Wish], stored: Mapping[Key, Stored]) -> Changes:
    """Of one participant."""
    found = Changes([], [])
    said = {wish.key: wish for wish in wishes}
    for key, wish in said.items():
        if isinstance(wish, Planned) and is_news(wish, stored.get(key)):
            found.plan.append(wish)
    for key, before in stored.items():
        unwanted = said.get(key, Unwanted(key, "rule"))
        if isinstance(unwanted, Unwanted) and before.state in OPEN:
            found.cancel.append((before.id, unwanted.reason))
    return found


def is_news(wish: Planned, before: Stored | None) -> bool:
    """Whether the row has to be planned (anew)."""
    if before is None:
        return True
    if before.state == "cancelled" and before.may_be_there:
        return False
    if before.state == "cancelled" and before.reason not in _ONLY_AT_ANOTHER_TIME:
        return before.reason != "person"
    is_same = (before.planned_at, before.useful_until) == (wish.planned_at, wish.useful_until)
    return before.state in (*OPEN, "cancelled") and not is_same

"""Which visits a participant has: from definitions, sessions, decisions and the day it is at their site.

baseline counts from enrolment, week-4 from the day on which baseline was *done*, 28 days later, 3 days
either way. Enrolled on 1 March, baseline done on 4 March: week-4 is due 1 April, window 29 March to 4 April.
Days are days of the site's calendar, so a change of the clock in between moves nothing.

          window begins           window is over
planned ───────────────▶ due ───────────────────▶ missed
   │                      │                          │
   └──── a completed session of it: completed ◀──────┘   (also days later, also where it was cancelled)

| what is known | state |
|---|---|
| a completed session of this visit | `completed`, by the first one, in its window or not |
| a person has cancelled it | `cancelled` until they take it back |
| its definition is retired, its participant not enrolled | `cancelled`; what was `missed` stays so |
| its anchor is not known | `planned`, without dates |
| neither | by its window and the day |

Planned, due and missed visits follow their definition; so a longer window makes a missed visit due again.
Completed and cancelled ones keep what they were planned by, and follow their anchor only. When a session is
gone, its visit is again what the rest says: nothing here depends on the order in which things became known.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ENROLMENT: Final = "enrolment"
"""The anchor that is no visit."""

State = Literal["planned", "due", "completed", "missed", "cancelled"]
Cause = Literal["person", "participant", "definition"]

OPEN: Final = ("planned", "due")


class Plan(NamedTuple):
    """When a visit is due: days after its anchor, and how many days before and after it may be done."""

    anchor: str
    offset_days: int
    window_before_days: int
    window_after_days: int


class Definition(NamedTuple):
    """A visit that every participant of a study has."""

    code: str
    plan: Plan
    retired: bool = False


class Person(NamedTuple):
    """A participant, as far as visits go. `timezone` is their site's; `site` None: UTC."""

    code: str
    status: str
    enrolled_on: date | None
    site: str | None
    timezone: str = "UTC"


class Sitting(NamedTuple):
    """The first completed session of a visit, of so many `sessions`. `began` None: not known."""

    site: str
    session: str
    began: datetime | None
    sessions: int = 1


class Visit(NamedTuple):
    """A visit of a participant, as its row has it."""

    code: str
    site: str | None
    state: State
    due_on: date | None
    window_from: date | None
    window_to: date | None
    completed_at: datetime | None
    completed_on: date | None
    in_window: bool | None
    session_site: str | None
    session_id: str | None
    session_count: int
    anchor: str
    offset_days: int
    window_before_days: int
    window_after_days: int
    moved_to: date | None = None
    cancelled_cause: Cause | None = None
    cancelled_reason: str | None = None

    @property
    def plan(self) -> Plan:
        """What it was planned by."""
        return Plan(self.anchor, self.offset_days, self.window_before_days, self.window_after_days)


def wanted_visits(
    definitions: Iterable[Definition],
    person: Person,
    sittings: Mapping[str, Sitting],
    stored: Mapping[str, Visit],
    today: date,
) -> list[Visit]:
    """The participant's visits as they have to be, in the order of the definitions.

    `sittings` and `stored` by code; `today` is the day at the participant's site.
    """
    done_on = {code: local_day(each.began, person.timezone) for code, each in sittings.items()}
    wanted = []
    for definition in definitions:
        before, sitting = stored.get(definition.code), sittings.get(definition.code)
        is_expected = not definition.retired and (person.status == "enrolled" or sitting is not None)
        if before is not None or is_expected:
            wanted.append(_visit(definition, person, sitting, before, done_on, today))
    return wanted


def _visit(  # noqa: PLR0917 (all that a visit depends on)
    definition: Definition,
    person: Person,
    sitting: Sitting | None,
    before: Visit | None,
    done_on: Mapping[str, date | None],
    today: date,
) -> Visit:
    settled, cause = _settled(definition, person, sitting, before)
    keeps_plan = before is not None and settled is not None and before.state == settled
    plan = before.plan if before is not None and keeps_plan else definition.plan
    moved_to = None if before is None else before.moved_to
    anchored_on = person.enrolled_on if plan.anchor == ENROLMENT else done_on.get(plan.anchor)
    due_on = moved_to or days_later(anchored_on, plan.offset_days)
    first, last = days_later(due_on, -plan.window_before_days), days_later(due_on, plan.window_after_days)
    completed_on = None if sitting is None else done_on[definition.code]
    in_window = None
    if completed_on is not None and first is not None and last is not None:
        in_window = first <= completed_on <= last
    return Visit(
        code=definition.code,
        site=person.site,
        state=settled or _state_of_day(first, last, today),
        due_on=due_on,
        window_from=first,
        window_to=last,
        completed_at=None if sitting is None else sitting.began,
        completed_on=completed_on,
        in_window=in_window,
        session_site=None if sitting is None else sitting.site,
        session_id=None if sitting is None else sitting.session,
        session_count=0 if sitting is None else sitting.sessions,
        anchor=plan.anchor,
        offset_days=plan.offset_days,
        window_before_days=plan.window_before_days,
        window_after_days=plan.window_after_days,
        moved_to=moved_to,
        cancelled_cause=cause,
        cancelled_reason=before.cancelled_reason if before is not None and cause == "person" else None,
    )


def _settled(
    definition: Definition, person: Person, sitting: Sitting | None, before: Visit | None
) -> tuple[State | None, Cause | None]:
    """The state that no day changes, None where there is none; and why it is cancelled, or would be."""
    by_person = before is not None and before.cancelled_cause == "person"
    if sitting is not None:
        # A person's decision is kept beside: it counts again if the session turns out to be none.
        return "completed", "person" if by_person else None
    if by_person:
        return "cancelled", "person"
    if not definition.retired and person.status == "enrolled":
        return None, None
    if before is not None and before.state == "missed":
        return "missed", None
    return "cancelled", "definition" if definition.retired else "participant"


def _state_of_day(first: date | None, last: date | None, today: date) -> State:
    if first is None or last is None or today < first:
        return "planned"
    return "due" if today <= last else "missed"


def days_later(day: date | None, days: int) -> date | None:
    """That day; None where there is none, or where the calendar ends before."""
    if day is None:
        return None
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return None


def local_day(moment: datetime | None, timezone: str) -> date | None:
    """The day that this moment (aware) is of in this timezone; one that nobody knows counts as UTC."""
    if moment is None:
        return None
    try:
        return moment.astimezone(zone_named(timezone)).date()
    except OverflowError:  # the first and last day of the calendar
        return moment.date()


@lru_cache(maxsize=1024)
def zone_named(name: str) -> tzinfo:
    """The timezone; UTC for a name that nobody knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def cycle(anchors: Mapping[str, str]) -> list[str] | None:
    """A circle in `anchors` (by code), from one code back to it; None where every chain ends."""
    for start in anchors:
        way = [start]
        while (anchor := anchors.get(way[-1])) is not None:
            if anchor in way:
                return [*way[way.index(anchor) :], anchor]
            way.append(anchor)
    return None

"""Which reminders of a visit are to be sent, and when: from rules, settings, visit, participant. Pure.

A visit due on 10 May, window to 17 May. Rules: `before`, 3 days before at 09:00; `overdue`, 1 day after at
18:00, again every 2 days, twice. So: 7 May 09:00; 11, 13 and 15 May 18:00, all by the participant's clock.
Each is useful for some hours; one that could not be sent within them is not sent any more.

    occurrence k of a rule: its day + k * repeat_every_days, at `send_at`   (before_due: earlier than due_on)
                 in quiet hours: at their end
                 useful until `useful_hours` after `send_at`, and not beyond the visit's window

| what holds | reason (`Unwanted`) |
|---|---|
| the visit is completed, cancelled; its window is over | `completed` `visit_cancelled` `missed` |
| the participant is not enrolled, or wants none | `not_enrolled` `opted_out` |
| the rule is retired, or does not name the visit (any more) | `rule` |
| it could be sent only after it is useful: quiet hours, window | `quiet_hours` `window` |
| it was useful once | `too_late` |
| the visit has no day, or the calendar ends | `no_day` |
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple

from reporting.reminders.local_time import Quiet, first_of_day, is_known, moment_of, next_allowed
from reporting.visits.schedule import State, days_later

Moment = Literal["before_due", "on_due", "overdue"]
Channel = Literal["email", "sms", "push"]
Reason = Literal[
    "completed",
    "visit_cancelled",
    "missed",
    "not_enrolled",
    "opted_out",
    "rule",
    "quiet_hours",
    "window",
    "too_late",
    "no_day",
    "person",
    "superseded",
    "daily_limit",
    "no_address",
    "no_gateway",
    "template",
    "refused",
    "uncertain",
]
"""Why a reminder is not sent. What `wanted` finds, and from `person` on what others find."""

CHANNELS: Final[tuple[Channel, ...]] = ("email", "sms", "push")
MOST_REPEATS: Final = 20


class Rule(NamedTuple):
    """When a study reminds of its visits. `days` before (before_due) or after (overdue) the due date."""

    code: str
    moment: Moment
    days: int
    channel: Channel
    send_at: time
    useful_hours: int
    repeat_every_days: int = 0
    repeat_times: int = 0
    """How often it comes again after the first time."""
    visits: frozenset[str] | None = None
    """The visits that it is for; None: all."""
    retired: bool = False

    @property
    def occurrences(self) -> range:
        """0 and its repetitions."""
        return range(1 + (self.repeat_times if self.repeat_every_days else 0))


class Settings(NamedTuple):
    """What a study says of all its reminders."""

    quiet: Quiet | None = Quiet(time(21), time(8))
    clock: Literal["participant", "site"] = "participant"
    """Whose local time counts; the site's where a participant's is not known."""
    most_per_day: int = 3
    """To one participant on one day of their calendar, over all channels."""


class Person(NamedTuple):
    """A participant, as far as reminders go. `timezone` is their own, None where it is not known."""

    code: str
    status: str
    site_timezone: str = "UTC"
    timezone: str | None = None
    opted_out: frozenset[str] = frozenset()
    """Channels."""

    def clock(self, settings: Settings) -> str:
        """The timezone by which they are reminded."""
        if settings.clock == "participant" and self.timezone is not None and is_known(self.timezone):
            return self.timezone
        return self.site_timezone


class Visit(NamedTuple):
    """A visit, as far as reminders go."""

    code: str
    state: State
    due_on: date | None
    window_to: date | None


class Key(NamedTuple):
    """One reminder of a participant: there is never a second one of the same key."""

    visit: str
    rule: str
    channel: Channel
    occurrence: int


class Planned(NamedTuple):
    """To be sent at `planned_at`, or later until `useful_until`; both UTC."""

    key: Key
    planned_at: datetime
    useful_until: datetime


class Unwanted(NamedTuple):
    """Not to be sent, and why."""

    key: Key
    reason: Reason


Wish = Planned | Unwanted


def wanted(
    rules: Iterable[Rule], settings: Settings, visit: Visit, person: Person, now: datetime
) -> list[Wish]:
    """Every reminder that the rules say of this visit, to be sent or not, in the order of the rules. `now`
    is aware.
    """
    return [wish for rule in rules for wish in _of_rule(rule, settings, visit, person, now)]


def _of_rule(rule: Rule, settings: Settings, visit: Visit, person: Person, now: datetime) -> Iterator[Wish]:
    unwanted = _reason(rule, visit, person)
    for occurrence in rule.occurrences:
        key = Key(visit.code, rule.code, rule.channel, occurrence)
        if unwanted is not None:
            yield Unwanted(key, unwanted)
        else:
            yield _at_its_time(key, rule, settings, visit, person, now)


def _reason(rule: Rule, visit: Visit, person: Person) -> Reason | None:
    reasons: tuple[tuple[bool, Reason], ...] = (
        (visit.state == "completed", "completed"),
        (visit.state == "cancelled", "visit_cancelled"),
        (visit.state == "missed", "missed"),
        (person.status != "enrolled", "not_enrolled"),
        (rule.channel in person.opted_out, "opted_out"),
        (rule.retired or (rule.visits is not None and visit.code not in rule.visits), "rule"),
        (visit.due_on is None, "no_day"),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _at_its_time(  # noqa: PLR0917 (all that a reminder depends on)
    key: Key, rule: Rule, settings: Settings, visit: Visit, person: Person, now: datetime
) -> Wish:
    day, zone = _day(rule, visit, key.occurrence), person.clock(settings)
    if day is None:
        return Unwanted(key, "window")
    said = moment_of(day, rule.send_at, zone)
    if said is None:
        return Unwanted(key, "no_day")
    try:
        until = said + timedelta(hours=rule.useful_hours)
    except OverflowError:
        return Unwanted(key, "no_day")
    end = _end_of(visit, rule, person, zone)
    if end is not None and end <= said:
        return Unwanted(key, "window")
    until = until if end is None else min(until, end)
    at = next_allowed(said, zone, settings.quiet)
    if at is None or at >= until:
        return Unwanted(key, "quiet_hours")
    return Unwanted(key, "too_late") if now >= until else Planned(key, at, until)


def _day(rule: Rule, visit: Visit, occurrence: int) -> date | None:
    """The local day of this occurrence; None where it is not before the due date and has to be."""
    first = -rule.days if rule.moment == "before_due" else rule.days if rule.moment == "overdue" else 0
    day = days_later(visit.due_on, first + occurrence * rule.repeat_every_days)
    if day is None or visit.due_on is None or (rule.moment == "before_due" and day >= visit.due_on):
        return None
    return day


def _end_of(visit: Visit, rule: Rule, person: Person, zone: str) -> datetime | None:
    """The moment from which the rule's reminders of the visit are wrong: what is before the due date on it,
    everything when the window is over at the site.
    """
    ends = [first_of_day(day, person.site_timezone)] if (day := days_later(visit.window_to, 1)) else []
    if rule.moment == "before_due" and visit.due_on is not None:
        ends.append(first_of_day(visit.due_on, zone))
    return min((end for end in ends if end is not None), default=None)

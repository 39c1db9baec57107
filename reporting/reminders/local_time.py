"""Local times as moments, in every timezone and on every day. Pure.

Clocks go forward over times that then do not exist, and back over times that then exist twice:

| local time | moment |
|---|---|
| exists once | that one |
| does not exist (02:30, the clock goes from 02:00 to 03:00) | as long after the change: 03:30 |
| exists twice (01:30, the clock goes back from 02:00 to 01:00) | the first one |
| of a day that does not exist (Apia, 30 December 2011) | a day later, at that time |
| outside the calendar (year 1, year 9999) | none |

Quiet hours are of the local clock, `start` included and `end` not; they may go over midnight. The next moment
that is not quiet is the next `end` of them, by whatever the clock does in between.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from reporting.visits.schedule import zone_named

_DAY = timedelta(days=1)
_DAYS_AHEAD = 4
"""A day of some timezones does not exist, and before and after it the clock may change."""


class Quiet(NamedTuple):
    """Nothing is sent from `start` to `end`, local time. `start` is not `end`."""

    start: time
    end: time

    def includes(self, clock: time) -> bool:
        """Whether a local clock that shows this is in them."""
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


def is_known(timezone: str) -> bool:
    """Whether there is such a timezone."""
    return zone_named(timezone) is not UTC


def moment_of(day: date, clock: time, timezone: str) -> datetime | None:
    """The moment (UTC) at which it is that time of that day there; None outside the calendar."""
    try:
        return datetime.combine(day, clock, zone_named(timezone)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def clock_at(moment: datetime, timezone: str) -> time:
    """What the local clock shows."""
    try:
        return moment.astimezone(zone_named(timezone)).timetz().replace(tzinfo=None)
    except (OverflowError, ValueError):
        return moment.timetz().replace(tzinfo=None)


def is_quiet(moment: datetime, timezone: str, quiet: Quiet | None) -> bool:
    """Whether nothing is sent at this moment."""
    return quiet is not None and quiet.includes(clock_at(moment, timezone))


def next_allowed(moment: datetime, timezone: str, quiet: Quiet | None) -> datetime | None:
    """The moment itself, or the end of the quiet hours that it is in; None where the calendar ends before."""
    if quiet is None or not is_quiet(moment, timezone, quiet):
        return moment
    zone = zone_named(timezone)
    try:
        today = moment.astimezone(zone).date()
    except (OverflowError, ValueError):
        return None
    for ahead in range(_DAYS_AHEAD):
        ends = []
        for fold in (0, 1):
            try:
                local = datetime.combine(today + ahead * _DAY, quiet.end, zone).replace(fold=fold)
                ends.append(local.astimezone(UTC))
            except (OverflowError, ValueError):
                return None
        for end in sorted(ends):
            if end > moment and not is_quiet(end, timezone, quiet):
                return end
    return None


def first_of_day(day: date, timezone: str) -> datetime | None:
    """The moment at which the day begins there; None outside the calendar."""
    return moment_of(day, time.min, timezone)

"""Could the device's clock have been right?

Tablets are offline for days and nobody looks at their clocks. The server's clock knows one thing about a
session: it cannot have ended after it arrived.

| found | `clock_suspect` | corrected times |
|---|---|---|
| a time of the session is more than 2 minutes after its receipt | `ahead` | shifted back until possible |
| it began before 2010 | `unset` | none: how far the clock is off is not known |
| neither, or it was not received from a tablet | – | none |

The shift is the least that makes all times possible, so it corrects no more than what is proved: a tablet
that syncs a day late may have been wrong by a day more. Two minutes are what a clock drifts in a month or two
without a network (quartz: 1 to 2 s a day) and do no harm. A clock that lost its battery begins at 1970, 2000
or the year its firmware was built; no tablet ran such tasks before 2010. A clock that is behind by less
leaves no trace in a session. The time of receipt is the latest of the leaves', since a merged session has
times of all of them.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from reporting.documents.kinds import SessionDocument

TOLERANCE: Final = timedelta(minutes=2)
FIRST_TABLETS: Final = datetime(2010, 1, 1, tzinfo=UTC)


class Clock(NamedTuple):
    """What is known of the device's clock: seconds to add to it, its times corrected, the flag's detail."""

    offset_s: float | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    detail: dict[str, object] | None = None
    """None: nothing suspect."""


def judge_clock(document: SessionDocument, received: Iterable[datetime]) -> Clock:
    """`received` are the first receipts of the session's leaves by the server's clock; none: not known."""
    if document.started_at < FIRST_TABLETS:
        return Clock(detail={"clock": "unset", "started_at": document.started_at.isoformat()})
    received_at = max(received, default=None)
    latest = _latest(document)
    if received_at is None or latest - received_at <= TOLERANCE:
        return Clock()
    shift = received_at - latest
    return Clock(
        shift.total_seconds(),
        document.started_at + shift,
        document.ended_at + shift if document.ended_at is not None else None,
        {"clock": "ahead", "by_s": -shift.total_seconds()},
    )


def _latest(document: SessionDocument) -> datetime:
    times = [document.started_at, document.ended_at]
    for task_run in document.tasks:
        times += (task_run.started_at, task_run.ended_at)
    return max(time for time in times if time is not None)

"""When a replication that failed is tried again: a pure function of what happened to it.

A tablet's hub has no internet for a week, a password was changed, a source database is gone: each fails
again at once. The wait doubles with each crash in a row, and a run that stayed healthy for a while is a new
beginning.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 15 * 60.0
HEALTHY_AFTER: Final = 120.0
"""Seconds of running after which earlier crashes count no more."""
EVENTS_KEPT: Final = 20

Kind = Literal["added", "started", "stopped", "crashed"]


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a job; `at` is in seconds since 1970."""

    kind: Kind
    at: float
    reason: str | None = None


def with_event(history: Sequence[Event], event: Event) -> tuple[Event, ...]:
    """The history, newest first, with `event` in front."""
    return (event, *history)[:EVENTS_KEPT]


def crashes_in_a_row(history: Sequence[Event]) -> int:
    """How many of the last runs crashed before they were healthy."""
    crashes = 0
    ended_at: float | None = None
    for event in history:
        if event.kind == "crashed":
            crashes, ended_at = crashes + 1, event.at
        elif event.kind == "stopped":
            break
        elif event.kind == "started" and ended_at is not None:
            if ended_at - event.at >= HEALTHY_AFTER:
                break
            ended_at = None
    return crashes


def next_start(history: Sequence[Event]) -> float:
    """The time, in seconds since 1970, before which the job is not to be started; 0 = at once."""
    crashes = crashes_in_a_row(history)
    if not crashes or history[0].kind != "crashed":
        return 0.0
    return history[0].at + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(crashes - 1, 20))

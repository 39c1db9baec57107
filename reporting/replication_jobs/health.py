"""From looks at a replication to whether somebody has to look after it: a fold over its history. Pure.

    look, look, look, …  ──fold──▶  memory of the last one · events for the history · `stuck` or `recovered`

A job that crashes is tried again by its scheduler, so one crash is no alert; one that has not been well for
`patience` is, once, until it is well again.

| seen | stuck | well again |
|---|---|---|
| `failed` | at once | another state, which lasts as below |
| `crashing`, `error`, or crashes between looks | after `patience` | it runs at two looks without a crash |
| | | between them, its checkpoint moves, or it completes |
| changes pending, and nothing is read or written | after `patience` | something is |
| not begun, or unknown to the scheduler | after `patience` | it is known |
| the counters begin again at 0 (another run) | no progress by itself | |
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

LONGEST_ERROR: Final = 2000

State = Literal["initializing", "running", "pending", "crashing", "error", "failed", "completed"]
"""As CouchDB names them."""

Alert = Literal["stuck", "recovered"]

ILL: Final = ("crashing", "error", "failed")
STARTS: Final = (None, "", "0")


class Crash(msgspec.Struct, frozen=True):
    """A run that ended so."""

    at: datetime
    reason: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler says of a job at one moment; numbers are of its run, None where it says nothing."""

    state: State = "initializing"
    error: str | None = None
    pending: int | None = None
    checked: int | None = None
    written: int | None = None
    failures: int | None = None
    checkpoint: str | None = None
    """The sequence of the source up to which both sides remember; opaque."""
    crashes: Sequence[Crash] = ()
    """That it still knows of, in any order."""
    next_retry_at: datetime | None = None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the last look."""

    at: datetime
    state: State
    pending: int | None = None
    checked: int | None = None
    written: int | None = None
    checkpoint: str | None = None
    crashed_at: datetime | None = None
    error: str | None = None
    error_at: datetime | None = None
    ill_since: datetime | None = None
    idle_since: datetime | None = None
    """Since when there was something to do and nothing was done."""


class Event(msgspec.Struct, frozen=True):
    """For the history."""

    at: datetime
    state: State
    detail: str | None = None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a look. `stuck_since` is None where nobody has to look."""

    memory: Memory
    events: tuple[Event, ...] = ()
    per_second: float | None = None
    stuck_since: datetime | None = None
    alert: Alert | None = None
    why: str | None = None


def judge(
    before: Memory | None, look: Look, *, now: datetime, stuck_since: datetime | None, patience: timedelta
) -> Judgement:
    """What follows from a look at `now`, after `before`. `stuck_since`: the alert that is open."""
    new = _new_crashes(before, look)
    memory = Memory(
        at=now,
        state=look.state,
        pending=look.pending,
        checked=look.checked,
        written=look.written,
        checkpoint=look.checkpoint,
        crashed_at=max((crash.at for crash in look.crashes), default=_crashed_at(before)),
        error=_last_error(before, look, new),
        error_at=_last_error_at(before, look, new, now),
        ill_since=_ill_since(before, look, new, now),
        idle_since=_idle_since(before, look, now),
    )
    why = _why(memory, now, patience)
    since = stuck_since
    alert: Alert | None = None
    if why is not None and stuck_since is None:
        since, alert = now, "stuck"
    elif stuck_since is not None and memory.ill_since is None and memory.idle_since is None:
        since, alert = None, "recovered"
    return Judgement(
        memory=memory,
        events=_events(before, look, new, now),
        per_second=_per_second(before, look, now),
        stuck_since=since,
        alert=alert,
        why=why,
    )


def _new_crashes(before: Memory | None, look: Look) -> list[Crash]:
    """Those that no look has seen, oldest first."""
    known = _crashed_at(before)
    return sorted(
        (crash for crash in look.crashes if known is None or crash.at > known), key=lambda crash: crash.at
    )


def _crashed_at(before: Memory | None) -> datetime | None:
    return before.crashed_at if before is not None else None


def _last_error(before: Memory | None, look: Look, new: Sequence[Crash]) -> str | None:
    told = look.error if look.error is not None else new[-1].reason if new else None
    if told is None:
        return before.error if before is not None else None
    return told[:LONGEST_ERROR]


def _last_error_at(before: Memory | None, look: Look, new: Sequence[Crash], now: datetime) -> datetime | None:
    if new:
        return new[-1].at
    known = before.error_at if before is not None else None
    return now if look.error is not None and known is None else known


def _ill_since(before: Memory | None, look: Look, new: Sequence[Crash], now: datetime) -> datetime | None:
    known = before.ill_since if before is not None else None
    if look.state in ILL or new:
        return known or now
    if known is None or before is None:
        return None
    moved = look.checkpoint not in STARTS and look.checkpoint != before.checkpoint
    lasts = look.state == before.state == "running"
    return None if look.state == "completed" or moved or lasts else known


def _idle_since(before: Memory | None, look: Look, now: datetime) -> datetime | None:
    waits = look.state == "initializing" or (look.state != "completed" and bool(look.pending))
    if not waits or (before is not None and _progressed(before, look)):
        return None
    known = before.idle_since if before is not None else None
    return known or now


def _progressed(before: Memory, look: Look) -> bool:
    more = _grew(before.checked, look.checked) or _grew(before.written, look.written)
    moved = look.checkpoint not in STARTS and look.checkpoint != before.checkpoint
    return more or moved or _grew(look.pending, before.pending)


def _grew(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _why(memory: Memory, now: datetime, patience: timedelta) -> str | None:
    if memory.state == "failed":
        return f"It has failed: {memory.error or 'no reason is told'}"
    if memory.ill_since is not None and now - memory.ill_since >= patience:
        return f"It crashes again and again since {_minute(memory.ill_since)}: {memory.error}"
    if memory.idle_since is not None and now - memory.idle_since >= patience:
        if memory.state == "initializing":
            return f"It has not begun since {_minute(memory.idle_since)}."
        return (
            f"Nothing was done since {_minute(memory.idle_since)}, and {memory.pending} changes are pending."
        )
    return None


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _per_second(before: Memory | None, look: Look, now: datetime) -> float | None:
    if before is None or before.written is None or look.written is None or look.written < before.written:
        return None
    seconds = (now - before.at).total_seconds()
    return (look.written - before.written) / seconds if seconds > 0 else None


def _events(before: Memory | None, look: Look, new: Sequence[Crash], now: datetime) -> tuple[Event, ...]:
    crashes = [Event(crash.at, "crashing", crash.reason[:LONGEST_ERROR]) for crash in new]
    told = look.state == "crashing" and bool(new)
    if told or (before is not None and before.state == look.state):
        return tuple(crashes)
    error = None if look.error is None else look.error[:LONGEST_ERROR]
    return (*crashes, Event(now, look.state, error if look.state in ILL else None))

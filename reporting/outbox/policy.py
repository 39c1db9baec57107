"""What follows a failed attempt: another one at a certain time, or none any more.

Pure: the same failure after as many attempts is always decided alike. How long a kind of entry is tried for
is its policy: delays between attempts, and after the last of them it is given up (`dead`) until a person
retries it.

| failure | decision |
|---|---|
| one that may pass | again after the policy's next delay, or when the other side asked for it if later |
| the last delay is used up | given up |
| `final`: no repetition mends it | given up at once |
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

LONGEST_WISH: Final = timedelta(hours=24)
"""The other side may ask for so much patience and no more."""

LONGEST_ERROR: Final = 2000


class Failed(msgspec.Struct, frozen=True):
    """It did not work. `error` says why, without secrets. `retry_after`: what the other side asked for."""

    error: str
    final: bool = False
    retry_after: timedelta | None = None


class Done(msgspec.Struct, frozen=True):
    """The effect is there."""


class Dropped(msgspec.Struct, frozen=True):
    """There is nothing left to do it for (a webhook that was deleted)."""

    why: str


class Postponed(msgspec.Struct, frozen=True):
    """Nothing was tried, since it could not be now (paused, somebody else is at it). Counts as no attempt and
    leaves none in the history; due again after `delay`. `why` is shown meanwhile, without secrets.
    """

    why: str
    delay: timedelta


Outcome = Done | Failed | Dropped | Postponed


class Policy(msgspec.Struct, frozen=True):
    """Delays between attempts. There is one attempt more than there are delays."""

    delays: tuple[timedelta, ...]

    @property
    def attempts(self) -> int:
        """How often it is tried at most."""
        return len(self.delays) + 1

    @classmethod
    def doubling(cls, *, first: timedelta, longest: timedelta, total: timedelta) -> "Policy":
        """Delays that double from `first` up to `longest`, until together they reach `total`."""
        delays: list[timedelta] = []
        waited, delay = timedelta(), min(first, longest)
        while waited < total:
            delays.append(delay)
            waited += delay
            delay = min(delay * 2, longest)
        return cls(tuple(delays))


class RetryAt(msgspec.Struct, frozen=True):
    """Try again then."""

    at: datetime


class GiveUp(msgspec.Struct, frozen=True):
    """Not again, unless a person asks for it."""


def decide(policy: Policy, failure: Failed, *, attempts: int, now: datetime) -> RetryAt | GiveUp:
    """What follows `failure`, the last of so many attempts (1 = the first)."""
    if failure.final or attempts >= policy.attempts:
        return GiveUp()
    delay = policy.delays[attempts - 1]
    if failure.retry_after is not None:
        delay = max(delay, min(failure.retry_after, LONGEST_WISH))
    return RetryAt(now + delay)

"""A REDCap host's throttle, circuit breaker and ban: one row, whatever the number of workers. Statements.

    turn: free_at = max(free_at, now) + spacing   ── one UPDATE, whose answer is the moment of the request

| host is | a request |
|---|---|
| free | at its turn |
| taken for longer than the asker can wait | refused: the turn is nobody's |
| failing, breaker open | refused until `open_until`; then one request at a time finds out |
| taken or failing until a moment that is too far away | as if it were free: the clock was set back |
| banned us | refused, until a person lifts the ban |

Times are Postgres's clock, at the moment of the statement: workers' clocks do not matter.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Interval,
    Select,
    Update,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from reporting.tables import redcap_hosts

FAILURES_TO_OPEN: Final = 5
"""In a row."""

FIRST_OPEN: Final = timedelta(seconds=30)
LONGEST_OPEN: Final = timedelta(minutes=10)

PROBE: Final = timedelta(minutes=2)
"""For how long an open breaker waits for what became of the one request that it let through."""


FURTHEST: Final = LONGEST_OPEN + timedelta(minutes=5)
"""No turn and no opening of a breaker is further away than that."""


class HostState(msgspec.Struct, frozen=True):
    """`open_s`: seconds until the breaker lets a request through, 0 = it does; `wait_s`: until it is free."""

    banned: bool
    ban: str | None
    open_s: float
    wait_s: float


def know_host(host: str) -> Insert:
    """Statement: the host has a row."""
    return insert(redcap_hosts).values(host=host).on_conflict_do_nothing()


def take_turn(host: str, *, spacing: timedelta, patience: timedelta) -> Update:
    """Statement: seconds from now until the turn that is the asker's, and how often the host has failed in a
    row. No row: see `select_host`.
    """
    h = redcap_hosts.c
    now = func.clock_timestamp()
    # A moment that nobody can have given was given before the clock was set back, or in another time.
    never = now + literal(FURTHEST, Interval)
    begins = case((h.free_at > never, now), else_=func.greatest(h.free_at, now))
    # Failing hosts get one request, and nothing else until its outcome is known.
    is_failing = h.failures >= FAILURES_TO_OPEN
    return (
        update(redcap_hosts)
        .where(
            h.host == host,
            h.banned_at.is_(None),
            or_(h.open_until.is_(None), h.open_until <= now, h.open_until > never),
            or_(h.free_at <= now + literal(patience, Interval), h.free_at > never),
        )
        .values(
            free_at=begins + literal(spacing, Interval),
            open_until=case((is_failing, now + literal(PROBE, Interval)), else_=null()),
        )
        .returning(_seconds(h.free_at - literal(spacing, Interval) - func.clock_timestamp()), h.failures)
    )


def select_host(host: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of HostState."""
    h = redcap_hosts.c
    now = func.clock_timestamp()
    return select(
        h.banned_at.is_not(None),
        h.ban,
        func.greatest(_seconds(func.coalesce(h.open_until, now) - now), 0),
        func.greatest(_seconds(h.free_at - now), 0),
    ).where(h.host == host)


def note_answer(host: str) -> Update:
    """Statement: it answers; nothing is written where that was known."""
    h = redcap_hosts.c
    return (
        update(redcap_hosts)
        .where(h.host == host, or_(h.failures > 0, h.open_until.is_not(None)))
        .values(failures=0, open_until=null())
    )


def note_failure(host: str) -> Update:
    """Statement: one more in a row; whether the breaker is open now."""
    h = redcap_hosts.c
    failures = h.failures + 1
    doubled = FIRST_OPEN.total_seconds() * func.power(2, func.least(failures - FAILURES_TO_OPEN, 10))
    open_s = func.least(cast(doubled, Float), LONGEST_OPEN.total_seconds())
    opened = func.make_interval(0, 0, 0, 0, 0, 0, open_s)
    opens = failures >= FAILURES_TO_OPEN
    return (
        update(redcap_hosts)
        .where(h.host == host)
        .values(
            failures=func.least(failures, 1_000_000),
            open_until=case((opens, func.clock_timestamp() + opened), else_=null()),
        )
        .returning(h.open_until.is_not(None))
    )


def ban(host: str, words: str) -> Update:
    """Statement: no request to it any more. The moment; no row: that was known."""
    h = redcap_hosts.c
    return (
        update(redcap_hosts)
        .where(h.host == host, h.banned_at.is_(None))
        .values(banned_at=func.clock_timestamp(), ban=words[:2000])
        .returning(h.banned_at)
    )


def lift_ban(host: str) -> Update:
    """Statement: a person has spoken with the host's. No row: it had not banned us."""
    h = redcap_hosts.c
    return (
        update(redcap_hosts)
        .where(h.host == host, h.banned_at.is_not(None))
        .values(banned_at=null(), ban=null(), failures=0, open_until=null())
        .returning(h.host)
    )


class HostNumbers(msgspec.Struct, frozen=True):
    """How many hosts have banned us, and of how many the breaker is open."""

    banned: int
    open: int


def select_host_numbers() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of HostNumbers."""
    h = redcap_hosts.c
    is_open = and_(h.banned_at.is_(None), h.open_until > func.now())
    return select(
        cast(func.count().filter(h.banned_at.is_not(None)), Integer),
        cast(func.count().filter(is_open), Integer),
    )


def _seconds(interval: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(func.extract("epoch", interval), Float)

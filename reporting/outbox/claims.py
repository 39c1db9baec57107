"""An entry's way from the relay to a worker, and its end.

    pending ──claim──▶ leased, not begun ──start──▶ leased, begun ──end──▶ done │ pending (later) │ dead
       ▲                    │ ran out                   │ ran out
       └────────────────────┴───────────────────────────┘ (begun: an attempt that failed)

`lease` is the fencing token: claim and start make it grow, and everything later names the one it was given.
A claim that was carried twice is started once; a worker that was paused until its lease ran out ends nothing.
`ticket` says what was asked for: an entry that was asked for again meanwhile stays pending.

| what happens | outcome |
|---|---|
| the relay dies after the claim, Redis loses it | the claim runs out; claimed again, no attempt counted |
| the worker dies, or hangs without renewing | the lease runs out; a failed attempt, decided by the policy |
| two workers have the same claim | the first starts, the second finds nothing |
| it ends twice, or late | the second `end` finds nothing |
| people and workers change the same rows | locked in one order (`kind`, `key` as bytes), as `entry` does |

Statements are values; relay (synchronous) and workers (asynchronous) run the same ones.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Delete,
    FromClause,
    Insert,
    Integer,
    Interval,
    Select,
    Text,
    Update,
    and_,
    case,
    cast,
    column,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    update,
    values,
)

from reporting.documents.text import without_nul
from reporting.outbox.policy import LONGEST_ERROR, Done, Dropped, GiveUp, Outcome, Policy, Postponed, decide
from reporting.tables import outbox, outbox_attempts

Claim = tuple[int, int]
"""(entry id, lease): all that is carried through Redis."""


class Claimed(msgspec.Struct, frozen=True):
    """An entry that the relay has claimed, for a worker to start."""

    id: int
    lease: int
    kind: str
    site: str | None


class Started(msgspec.Struct, frozen=True):
    """An entry that a worker has begun; `attempts` made before this one."""

    id: int
    lease: int
    ticket: int
    kind: str
    key: str
    study: str | None
    site: str | None
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime
    started_at: datetime


_STARTED = [outbox.c[name] for name in Started.__struct_fields__]


class Ended(msgspec.Struct, frozen=True):
    """What becomes of a started entry. `outcome` "postponed": nothing was tried."""

    entry: Started
    state: str
    outcome: str
    error: str | None = None
    next_attempt_at: datetime | None = None


def claim(kind: str, *, limit: int, lease: timedelta) -> Update:
    """Statement: lease due entries of a kind, passing over those that others hold; the fields of Claimed."""
    due = (
        select(outbox.c.id)
        .where(outbox.c.state == "pending", outbox.c.kind == kind, outbox.c.next_attempt_at <= func.now())
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return (
        update(outbox)
        .where(outbox.c.id == due.c.id)
        .values(state="leased", lease=outbox.c.lease + 1, leased_until=_from_now(lease), started_at=null())
        .returning(outbox.c.id, outbox.c.lease, outbox.c.kind, outbox.c.site)
    )


def start(claims: Sequence[Claim], *, lease: timedelta) -> Update:
    """Statement: begin those whose claim still counts, each once; the fields of Started. At least one."""
    given = _given(claims)
    locked = _locked(given, outbox.c.state == "leased", outbox.c.started_at.is_(None))
    row = outbox.c
    return (
        update(outbox)
        .where(row.id == locked.c.id)
        .values(lease=row.lease + 1, leased_until=_from_now(lease), started_at=func.clock_timestamp())
        .returning(*_STARTED)
    )


def renew(claims: Sequence[Claim], *, lease: timedelta) -> Update:
    """Statement: hold on to what this worker has begun. At least one."""
    locked = _locked(_given(claims), outbox.c.state == "leased")
    return update(outbox).where(outbox.c.id == locked.c.id).values(leased_until=_from_now(lease))


def still_held(entry: Started) -> Select[int]:
    """Statement: the entry's id, if what this worker has begun still counts; nobody else begins it until the
    transaction ends. No row: its lease ran out, or it was asked for again and is another's now.
    """
    row = outbox.c
    counts = (row.id == entry.id, row.lease == entry.lease, row.ticket == entry.ticket)
    return select(row.id).where(*counts, row.state == "leased").with_for_update(read=True)


def ending(entry: Started, outcome: Outcome, policy: Policy, *, now: datetime) -> Ended:
    """What becomes of the entry. Pure."""
    if isinstance(outcome, Done):
        return Ended(entry, "done", "done")
    if isinstance(outcome, Dropped):
        return Ended(entry, "discarded", "discarded", without_nul(outcome.why)[:LONGEST_ERROR])
    if isinstance(outcome, Postponed):
        return Ended(
            entry, "pending", "postponed", without_nul(outcome.why)[:LONGEST_ERROR], now + outcome.delay
        )
    error = without_nul(outcome.error)[:LONGEST_ERROR]
    decision = decide(policy, outcome, attempts=entry.attempts + 1, now=now)
    if isinstance(decision, GiveUp):
        return Ended(entry, "dead", "given_up", error)
    return Ended(entry, "pending", "failed", error, decision.at)


def end(ended: Sequence[Ended]) -> Update:
    """Statement: end those whose lease and ticket still count; their ids. At least one."""
    told = values(
        column("id", BigInteger),
        column("lease", BigInteger),
        column("ticket", BigInteger),
        column("state", Text),
        column("error", Text),
        column("next_attempt_at", DateTime(timezone=True)),
        column("made", Integer),
        name="told",
    ).data(
        [
            (
                each.entry.id,
                each.entry.lease,
                each.entry.ticket,
                each.state,
                each.error,
                each.next_attempt_at,
                int(each.outcome != "postponed"),
            )
            for each in ended
        ]
    )
    locked = (
        select(
            outbox.c.id,
            told.c.state,
            told.c.made,
            # A column of NULLs alone is text to Postgres.
            cast(told.c.error, Text).label("error"),
            cast(told.c.next_attempt_at, DateTime(timezone=True)).label("next_attempt_at"),
        )
        .join(told, outbox.c.id == told.c.id)
        .where(
            outbox.c.state == "leased",
            outbox.c.lease == told.c.lease,
            outbox.c.ticket == told.c.ticket,
        )
        .order_by(*_IN_ORDER)
        .with_for_update(of=outbox)
        .cte("locked")
    )
    return (
        update(outbox)
        .where(outbox.c.id == locked.c.id)
        .values(
            state=locked.c.state,
            error=locked.c.error,
            attempts=outbox.c.attempts + locked.c.made,
            next_attempt_at=func.coalesce(locked.c.next_attempt_at, outbox.c.next_attempt_at),
            ended_at=case((locked.c.state == "pending", null()), else_=func.now()),
            leased_until=null(),
            started_at=null(),
        )
        .returning(outbox.c.id)
    )


def record_attempts(ended: Sequence[Ended]) -> Insert:
    """Statement: what was tried, and what came of it. At least one, none of them postponed."""
    return outbox_attempts.insert().values(
        [
            {
                "entry": each.entry.id,
                "lease": each.entry.lease,
                "started_at": each.entry.started_at,
                "outcome": each.outcome,
                "error": each.error,
            }
            for each in ended
        ]
    )


def select_lost(*, limit: int) -> Select[*tuple[Any, ...]]:
    """Statement: begun entries whose worker was not heard of until their lease ran out; Started's fields."""
    row = outbox.c
    return (
        select(*_STARTED)
        .where(row.state == "leased", row.leased_until < func.now(), row.started_at.is_not(None))
        .order_by(row.leased_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def release(*, all_claims: bool = False) -> Update:
    """Statement: claims that no worker has begun become pending again: those that ran out, or all of them
    (Redis was emptied). The lease grows, so that a claim that was carried after all is not started.
    """
    unbegun = and_(outbox.c.state == "leased", outbox.c.started_at.is_(None))
    ran_out: ColumnElement[bool] = outbox.c.leased_until < func.now()
    lost = (
        select(outbox.c.id)
        .where(unbegun, or_(ran_out, literal(all_claims)))
        .with_for_update(skip_locked=True)
        .cte("lost")
    )
    return _released().where(outbox.c.id == lost.c.id)


def release_claims(claims: Sequence[Claim]) -> Update:
    """Statement: give back claims that could not be carried. At least one."""
    locked = _locked(_given(claims), outbox.c.state == "leased", outbox.c.started_at.is_(None))
    return _released().where(outbox.c.id == locked.c.id)


def _released() -> Update:
    return update(outbox).values(state="pending", lease=outbox.c.lease + 1, leased_until=null())


def prune(*, ended_before: datetime, limit: int, kept_kinds: Collection[str]) -> Delete:
    """Statement: delete entries that are done or discarded since before then, but for kinds whose row says
    that it was told.
    """
    old = (
        select(outbox.c.id)
        .where(
            outbox.c.state.in_(("done", "discarded")),
            outbox.c.ended_at < ended_before,
            outbox.c.kind.not_in(kept_kinds),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return delete(outbox).where(outbox.c.id == old.c.id)


def prune_payloads(*, ended_before: datetime, limit: int, kinds: Collection[str]) -> Update:
    """Statement: of old entries of these kinds only the key is kept: it is what makes them happen once."""
    old = (
        select(outbox.c.id)
        .where(
            outbox.c.state.in_(("done", "discarded")),
            outbox.c.ended_at < ended_before,
            outbox.c.kind.in_(kinds),
            outbox.c.payload != {},
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return update(outbox).where(outbox.c.id == old.c.id).values(payload={})


def prune_attempts(*, ended_before: datetime, limit: int) -> Delete:
    """Statement: delete the history of before then."""
    old = (
        select(outbox_attempts.c.id).where(outbox_attempts.c.ended_at < ended_before).limit(limit).cte("old")
    )
    return delete(outbox_attempts).where(outbox_attempts.c.id == old.c.id)


# The bytes of UTF-8 sort as Python's strings do, in whose order entries are inserted.
_IN_ORDER = (outbox.c.kind.collate("C"), outbox.c.key.collate("C"))


def _from_now(lease: timedelta) -> ColumnElement[datetime]:
    return func.clock_timestamp() + literal(lease, Interval)


def _given(claims: Sequence[Claim]) -> FromClause:
    return values(column("id", BigInteger), column("lease", BigInteger), name="given").data(list(claims))


def _locked(given: FromClause, *conditions: ColumnElement[bool]) -> Any:
    return (
        select(outbox.c.id)
        .join(given, and_(outbox.c.id == given.c.id, outbox.c.lease == given.c.lease))
        .where(*conditions)
        .order_by(*_IN_ORDER)
        .with_for_update(of=outbox)
        .cte("locked")
    )

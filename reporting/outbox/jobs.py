"""What people see of the outbox, and what they may do about an entry.

| entry is | retry | discard |
|---|---|---|
| pending, dead | due now, tried as often as a new one | discarded |
| discarded | due now | no |
| leased: a worker is at it | no | no |
| done | no | no |
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Text,
    Update,
    and_,
    case,
    cast,
    false,
    func,
    or_,
    select,
    true,
    update,
)

from reporting.scope import Scope, within
from reporting.tables import outbox, outbox_attempts


class JobRow(msgspec.Struct, frozen=True):
    """An entry. `attempts` since it was last asked for; `next_attempt_at` while it is pending."""

    id: int
    kind: str
    key: str
    study: str | None
    site: str | None
    state: str
    attempts: int
    next_attempt_at: datetime | None
    error: str | None
    payload: Any
    created_at: datetime
    ended_at: datetime | None


class AttemptRow(msgspec.Struct, frozen=True):
    """What was tried, and what came of it."""

    started_at: datetime
    ended_at: datetime
    outcome: str
    error: str | None


COLUMNS: Final = (
    outbox.c.id,
    outbox.c.kind,
    outbox.c.key,
    outbox.c.study,
    outbox.c.site,
    outbox.c.state,
    outbox.c.attempts,
    case((outbox.c.state == "pending", outbox.c.next_attempt_at)),
    outbox.c.error,
    outbox.c.payload,
    outbox.c.created_at,
    outbox.c.ended_at,
)

RETRYABLE: Final = ("pending", "dead", "discarded")
DISCARDABLE: Final = ("pending", "dead")

MOST_ATTEMPTS: Final = 200


def visible(scope: Scope) -> ColumnElement[bool]:
    """Condition: the entry is of a study or site in the scope; one of neither is for who sees everything."""
    if scope.is_everything:
        return true()
    by_site = within(scope, site=outbox.c.site) if scope.parts else false()
    return or_(
        and_(outbox.c.study.is_not(None), within(scope, study=outbox.c.study, site=outbox.c.site)),
        and_(outbox.c.study.is_(None), outbox.c.site.is_not(None), by_site),
    )


def select_jobs(
    scope: Scope,
    *,
    kind: str | None = None,
    state: str | None = None,
    study: str | None = None,
    site: str | None = None,
) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of JobRow."""
    wanted = {"kind": kind, "state": state, "study": study, "site": site}
    conditions = [outbox.c[name] == value for name, value in wanted.items() if value is not None]
    return select(*COLUMNS).where(visible(scope), *conditions)


def select_job(scope: Scope, number: int) -> Select[*tuple[Any, ...]]:
    """Statement: one entry, where it is in the scope."""
    return select(*COLUMNS).where(outbox.c.id == number, visible(scope))


def select_attempts(number: int) -> Select[*tuple[Any, ...]]:
    """Statement: the last attempts of an entry, newest first; the fields of AttemptRow."""
    a = outbox_attempts.c
    return (
        select(a.started_at, a.ended_at, a.outcome, a.error)
        .where(a.entry == number)
        .order_by(a.id.desc())
        .limit(MOST_ATTEMPTS)
    )


def select_deliveries(webhook: int) -> Select[*tuple[Any, ...]]:
    """Statement: the deliveries of a webhook; the fields of JobRow."""
    return select(*COLUMNS).where(
        outbox.c.kind == "webhook", func.split_part(outbox.c.key, "/", 1) == cast(webhook, Text)
    )


def retry(number: int) -> Update:
    """Statement: due now. No row: it is in none of the states RETRYABLE."""
    return (
        update(outbox)
        .where(outbox.c.id == number, outbox.c.state.in_(RETRYABLE))
        .values(state="pending", attempts=0, next_attempt_at=func.now(), ended_at=None)
        .returning(outbox.c.id)
    )


def discard(number: int) -> Update:
    """Statement: not to be done any more. No row: it is in none of the states DISCARDABLE."""
    return (
        update(outbox)
        .where(outbox.c.id == number, outbox.c.state.in_(DISCARDABLE))
        .values(state="discarded", ended_at=func.now())
        .returning(outbox.c.id)
    )


def record_decision(number: int, outcome: str, reason: str | None) -> Any:
    """Statement: a person's retry (`retried`) or discard (`discarded`) in the history."""
    told = {"entry": number, "lease": 0, "outcome": outcome, "error": reason}
    return outbox_attempts.insert().values(started_at=func.now(), **told)


class OutboxNumbers(msgspec.Struct, frozen=True):
    """Of one kind. `oldest_s`: for how many seconds the longest waiting entry has been due; 0 = none is."""

    kind: str
    pending: int
    dead: int
    oldest_s: float


def select_numbers() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of OutboxNumbers, by kind, where something is pending or dead."""
    o = outbox.c
    due = and_(o.state == "pending", o.next_attempt_at <= func.now())
    waited = func.max(case((due, func.extract("epoch", func.now() - o.next_attempt_at))))
    return (
        select(
            o.kind,
            func.count().filter(o.state.in_(("pending", "leased"))),
            func.count().filter(o.state == "dead"),
            cast(func.coalesce(waited, 0), Float),
        )
        .where(o.state.in_(("pending", "leased", "dead")))
        .group_by(o.kind)
        .order_by(o.kind)
    )

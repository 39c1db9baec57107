"""Reminders as people see them: planned, sent, cancelled, and why; and their numbers."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Float, Select, Update, and_, case, cast, func, select, update

from reporting.queries.rows import columns_of
from reporting.reminders.reconcile import OPEN, State
from reporting.reminders.schedule import Channel
from reporting.scope import Scope, within
from reporting.tables import participants, reminders, studies

_r = reminders.c


class ReminderRow(msgspec.Struct, frozen=True):
    """A reminder. `reason`: why it was cancelled or has failed. `waits_until`: it is due and not sent before
    then (quiet hours, the day's limit, a paused study). `sending_at`: when it was last
    handed over, unless it was refused for now; `repeats`: how often it was because nobody knew what had come
    of it. `message_id` is the mail's, or the webhook's, at every attempt.
    """

    id: int
    study: str
    site: str | None
    participant: str
    visit: str
    rule: str
    channel: Channel
    occurrence: int
    planned_at: datetime
    useful_until: datetime
    state: State
    reason: str | None
    waits_until: datetime | None
    cancelled_reason: str | None
    message_id: str | None
    sending_at: datetime | None
    sent_at: datetime | None
    repeats: int
    updated_at: datetime


class ReminderFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which reminders; None = any. Times are included."""

    study: str | None = None
    site: str | None = None
    participant: str | None = None
    visit: str | None = None
    rule: str | None = None
    channel: Channel | None = None
    state: State | None = None
    reason: str | None = None


SORTABLE = {
    name: _r[name]
    for name in ("id", "planned_at", "study", "participant", "visit", "rule", "state", "sent_at")
}
KEY = [_r.planned_at, _r.id]


def select_reminders(
    scope: Scope,
    wanted: ReminderFilter,
    *,
    planned_from: datetime | None = None,
    planned_to: datetime | None = None,
) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ReminderRow of those that are wanted and in the scope, in no order."""
    p = participants.c
    site = p.site.label("site")
    statement = (
        select(*columns_of(ReminderRow, reminders, besides=[site]))
        .select_from(reminders.outerjoin(participants, and_(p.study == _r.study, p.code == _r.participant)))
        .where(within(scope, study=_r.study, site=p.site))
    )
    for name in ReminderFilter.__struct_fields__:
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where((p.site if name == "site" else _r[name]) == value)
    if planned_from is not None:
        statement = statement.where(_r.planned_at >= planned_from)
    if planned_to is not None:
        statement = statement.where(_r.planned_at <= planned_to)
    return statement


def select_one(scope: Scope, number: int) -> Select[*tuple[Any, ...]]:
    """Statement: one, where it is in the scope."""
    return select_reminders(scope, ReminderFilter()).where(_r.id == number)


def cancel_by_person(number: int, reason: str) -> Update:
    """Statement: not to be sent, for good. No row: somebody is at it, or it is over."""
    return (
        update(reminders)
        .where(_r.id == number, _r.state.in_(OPEN))
        .values(state="cancelled", reason="person", cancelled_reason=reason, updated_at=func.now())
        .returning(_r.id)
    )


class ReminderNumbers(msgspec.Struct, frozen=True):
    """In one state. `late_s`: for how many seconds the longest waiting one of an active study has been due,
    or has not waited any more; 0 = none is.
    """

    state: str
    reminders: int
    repeats: int
    late_s: float


def select_reminder_numbers() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ReminderNumbers, by state."""
    since = func.greatest(_r.planned_at, func.coalesce(_r.waits_until, _r.planned_at))
    is_due = and_(_r.state.in_(OPEN), since <= func.now(), studies.c.status == "active")
    waited = func.max(case((is_due, func.extract("epoch", func.now() - since))))
    return (
        select(
            _r.state,
            func.count(),
            func.coalesce(func.sum(_r.repeats), 0),
            cast(func.coalesce(waited, 0), Float),
        )
        .join(studies, studies.c.code == _r.study)
        .group_by(_r.state)
        .order_by(_r.state)
    )

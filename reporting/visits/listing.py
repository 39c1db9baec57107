"""Visits as people see them, and what they decide of one by hand."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Label, Select, Update, and_, func, or_, select, update

from reporting.queries.rows import columns_of
from reporting.scope import Scope, within
from reporting.tables import participants, sites, visit_definitions, visits
from reporting.visits.schedule import Cause, State
from reporting.visits.statements import days

_v = visits.c


class VisitRow(msgspec.Struct, frozen=True):
    """A visit of a participant. `overdue`: its day is over at the site, its window is not, it is not done.

    `due_on` null: what it counts from is not known yet. `in_window` null: not done, or no day is known.
    """

    study: str
    participant: str
    code: str
    title: str
    site: str | None
    state: State
    overdue: bool
    due_on: date | None
    window_from: date | None
    window_to: date | None
    completed_at: datetime | None
    completed_on: date | None
    in_window: bool | None
    session_site: str | None
    session_id: str | None
    session_count: int
    anchor: str
    offset_days: int
    moved_to: date | None
    moved_reason: str | None
    cancelled_cause: Cause | None
    cancelled_reason: str | None
    row_version: int
    updated_at: datetime


class VisitFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which visits; None = any. Dates are included."""

    study: str | None = None
    site: str | None = None
    participant: str | None = None
    state: State | None = None
    due_from: date | None = None
    due_to: date | None = None
    overdue: bool | None = None


SORTABLE = {
    name: _v[name] for name in ("due_on", "study", "site", "participant", "code", "state", "completed_at")
}
IDENTITY = [_v.study, _v.participant, _v.code]
KEY = [_v.due_on.asc().nulls_last(), _v.study, _v.participant, _v.code]


def select_visits(today: Mapping[str, date], scope: Scope, wanted: VisitFilter) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of VisitRow of those that are wanted and in the scope, in no order. `today` by
    timezone, with UTC.
    """
    is_overdue = _is_overdue(today)
    computed = [_title(), is_overdue.label("overdue")]
    # Nothing is joined: a list's total, and what is before a page of it, are counted by an index alone.
    statement = (
        select(*columns_of(VisitRow, visits, besides=computed))
        .select_from(visits)
        .where(within(scope, study=_v.study, site=_v.site))
    )
    equal = ((_v.study, wanted.study), (_v.site, wanted.site), (_v.participant, wanted.participant))
    for column, value in (*equal, (_v.state, wanted.state), (is_overdue, wanted.overdue)):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.overdue:
        # Said again without the timezone, so that the index of open visits can find them.
        statement = statement.where(_v.state == "due", _v.due_on < max(today.values()))
    if wanted.due_from is not None:
        statement = statement.where(_v.due_on >= wanted.due_from)
    if wanted.due_to is not None:
        statement = statement.where(_v.due_on <= wanted.due_to)
    return statement


def _is_overdue(today: Mapping[str, date]) -> ColumnElement[bool]:
    """Its day is over at its site. Where it is over everywhere, or nowhere, the site is not looked up."""
    day = days(today)
    timezone = select(sites.c.timezone).where(sites.c.code == _v.site).correlate(visits).scalar_subquery()
    there = select(day.c.today).where(day.c.timezone == func.coalesce(timezone, "UTC")).correlate(visits)
    over = or_(_v.due_on < min(today.values()), _v.due_on < there.scalar_subquery())
    return func.coalesce(and_(_v.state == "due", _v.due_on < max(today.values()), over), False)


def _title() -> Label[Any]:
    d = visit_definitions.c
    title = select(d.title).where(d.study == _v.study, d.code == _v.code).correlate(visits)
    return func.coalesce(title.scalar_subquery(), "").label("title")


def select_of_participant(study: str, participant: str) -> Select[*tuple[Any, ...]]:
    """Statement: (site, status, enrolled_on, timezone) of a participant."""
    p = participants.c
    return (
        select(p.site, p.status, p.enrolled_on, func.coalesce(sites.c.timezone, "UTC"))
        .select_from(participants.outerjoin(sites, sites.c.code == p.site))
        .where(p.study == study, p.code == participant)
    )


def decide(study: str, participant: str, code: str, **fields: Any) -> Update:
    """Statement: note what a person has decided; the visit is to be brought up to date after it."""
    changed = {"row_version": _v.row_version + 1, "updated_at": func.now()}
    named = (_v.study == study, _v.participant == participant, _v.code == code)
    return update(visits).where(*named).values(**fields, **changed)

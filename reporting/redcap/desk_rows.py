"""What people see of projects and of sessions on their way: statements that read."""

from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Select, Text, and_, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from reporting.redcap.requests import KIND
from reporting.scope import Scope, within
from reporting.tables import (
    outbox,
    redcap_attempts,
    redcap_hosts,
    redcap_ledger,
    redcap_projects,
    redcap_pulled,
    sessions,
)

LedgerState = Literal["pending", "allocated", "sent", "accepted", "done", "parked", "retired"]

_l, _p = redcap_ledger.c, redcap_projects.c


class ProjectView(msgspec.Struct, frozen=True):
    """A REDCap project, and how many of its sessions are in each state. Times of pulls are ours, but
    `pulled_until`: REDCap's clock.
    """

    project: str
    study: str
    site: str | None
    title: str
    redcap_version: str | None
    checked_at: datetime | None
    paused_at: datetime | None
    paused_cause: str | None
    paused_reason: str | None
    pulled_until: datetime | None
    pulled_at: datetime | None
    reconciled_at: datetime | None
    sessions: dict[str, int]
    record_problems: int


_counted = (
    select(_l.state.label("state"), func.count().label("rows"))
    .where(_l.project == _p.project)
    .group_by(_l.state)
    .correlate(redcap_projects)
    .subquery()
)
_states = select(
    func.coalesce(
        func.jsonb_object_agg(_counted.c.state, _counted.c.rows, type_=JSONB), cast({}, JSONB), type_=JSONB
    )
).scalar_subquery()
_problems = (
    select(func.count())
    .where(redcap_pulled.c.project == _p.project, redcap_pulled.c.problem.is_not(None))
    .correlate(redcap_projects)
    .scalar_subquery()
)
SITE: Final[ColumnElement[Any]] = func.nullif(func.split_part(_p.project, "@", 2), "")
"""Of a project whose connection is a site's: its name ends in it."""

_DERIVED: Final = {"site": SITE, "sessions": _states, "record_problems": _problems}
PROJECT_COLUMNS: Final = [
    _DERIVED[name] if name in _DERIVED else _p[name] for name in ProjectView.__struct_fields__
]


def select_projects(scope: Scope, *, study: str | None = None) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ProjectView."""
    statement = select(*PROJECT_COLUMNS).where(within(scope, study=_p.study, site=SITE))
    return statement if study is None else statement.where(_p.study == study)


class SessionView(msgspec.Struct, frozen=True):
    """A session's row of the ledger, and its job: `id` there, its state, when it is due, why it waits."""

    id: int
    project: str
    study: str
    site: str
    session: str
    participant: str | None
    record: str
    event: str
    form: str
    instance: int | None
    state: LedgerState
    reason: str | None
    updated_at: datetime
    job: int | None
    job_state: str | None
    next_attempt_at: datetime | None
    error: str | None


_job = (
    outbox.c.kind == KIND,
    outbox.c.key == _l.study + literal("/") + _l.site + literal("/") + _l.session_id,
)
_of = {
    "session": _l.session_id,
    "participant": sessions.c.participant,
    "job": outbox.c.id,
    "job_state": outbox.c.state,
    "next_attempt_at": outbox.c.next_attempt_at,
    "error": outbox.c.error,
}
SESSION_COLUMNS: Final = [_of[name] if name in _of else _l[name] for name in SessionView.__struct_fields__]


def select_sessions(scope: Scope, **wanted: str | None) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of SessionView. `wanted`: columns of the ledger, and `participant`."""
    statement = (
        select(*SESSION_COLUMNS)
        .select_from(redcap_ledger)
        .outerjoin(sessions, and_(sessions.c.site == _l.site, sessions.c.id == _l.session_id))
        .outerjoin(outbox, and_(*_job))
        .where(within(scope, study=_l.study, site=_l.site))
    )
    for name, value in wanted.items():
        if value is not None:
            column = _of[name] if name in _of else _l[name]
            statement = statement.where(cast(column, Text) == value)
    return statement


class AttemptView(msgspec.Struct, frozen=True):
    """Something that was tried. `before`: what REDCap had, where it was read; `after`: what was sent."""

    id: int
    at: datetime
    job: int | None
    action: str
    outcome: str
    http_status: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    error: str | None


_a = redcap_attempts.c
_ATTEMPT: Final = [_a["entry" if name == "job" else name] for name in AttemptView.__struct_fields__]


def select_tried(ledger: int) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of AttemptView."""
    return select(*_ATTEMPT).where(_a.ledger == ledger)


class HostView(msgspec.Struct, frozen=True):
    """A host, with its port. `open_until`: no request before then, after failures in a row."""

    host: str
    failures: int
    open_until: datetime | None
    banned_at: datetime | None
    ban: str | None


def select_hosts() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of HostView."""
    return select(*(redcap_hosts.c[name] for name in HostView.__struct_fields__))


class RecordView(msgspec.Struct, frozen=True):
    """What the last pull made of a record: `problem` why it was not taken, or not as a whole; `conflicts`:
    members that both sides have changed, with both values; `missing_since`: REDCap has it no more.
    """

    id: int
    project: str
    study: str
    site: str | None
    record: str
    participant: str | None
    problem: str | None
    conflicts: dict[str, Any] | None
    missing_since: datetime | None
    pulled_at: datetime


_r = redcap_pulled.c
_each = func.jsonb_each(_r.conflicts).table_valued("key", column("value", JSONB), name="each")
_told = (
    select(func.jsonb_object_agg(_each.c.key, _each.c.value.op("-")("ours").op("-")("theirs"), type_=JSONB))
    .select_from(_each)
    .correlate(redcap_pulled)
    .scalar_subquery()
)
_record = {"study": _p.study, "site": SITE, "conflicts": _told}
RECORD_COLUMNS: Final = [
    _record[name] if name in _record else _r[name] for name in RecordView.__struct_fields__
]


def select_record_views(
    scope: Scope, *, project: str | None = None, study: str | None = None, troubled: bool | None = None
) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of RecordView; `troubled`: only with a problem, or only without."""
    statement = (
        select(*RECORD_COLUMNS)
        .select_from(redcap_pulled.join(redcap_projects, _p.project == _r.project))
        .where(within(scope, study=_p.study, site=SITE))
    )
    if project is not None:
        statement = statement.where(_r.project == project)
    if study is not None:
        statement = statement.where(_p.study == study)
    if troubled is not None:
        statement = statement.where(_r.problem.is_not(None) if troubled else _r.problem.is_(None))
    return statement

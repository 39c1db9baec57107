"""Replication jobs as rows: what people see of them, and every statement on them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    Update,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    union,
    update,
)

from reporting.replication_jobs.health import Event, Memory
from reporting.scope import Scope, within
from reporting.tables import participants, replication_job_events, replication_jobs, study_sites

EVENTS_KEPT: Final = 200
"""Of each job, the last ones."""

JobKind = Literal["collected", "published", "custom"]
Direction = Literal["push", "pull"]
Desired = Literal["running", "paused", "cancelled"]
ShownState = Literal[
    "initializing",
    "running",
    "pending",
    "crashing",
    "error",
    "failed",
    "completed",
    "paused",
    "cancelled",
]
"""CouchDB's, as the scheduler names them, and the two that are people's."""

_c = replication_jobs.c

SHOWN_STATE: Final = case((_c.desired != "running", _c.desired), else_=_c.state)


class JobTerms(msgspec.Struct, frozen=True):
    """A job as admins want it, in its present generation and attempt."""

    id: int
    site: str
    name: str
    kind: JobKind
    direction: Direction
    url: str
    selector: dict[str, Any] | None
    continuous: bool
    desired: Desired
    generation: int
    attempt: int


class ReplicationJob(JobTerms, frozen=True):
    """A job. `user` is the name of its login at the other side; the password or token is never shown.

    `pending`: changes of the source that were not looked at; `written`, `failures`: documents of its last
    run; `per_second`: documents written between the last two looks. What was seen is of `observed_at`.
    """

    user: str | None
    has_credential: bool
    row_version: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    state: ShownState
    observed_at: datetime | None
    pending: int | None
    written: int | None
    failures: int | None
    per_second: float | None
    error: str | None
    error_at: datetime | None
    next_retry_at: datetime | None
    stuck_since: datetime | None


class JobEvent(msgspec.Struct, frozen=True):
    """Something that was seen of a job: it came into a state, or crashed."""

    at: datetime
    state: str
    detail: str | None


class WantedJob(JobTerms, frozen=True):
    """What the document of a job is made from, and what the watch needs of it."""

    credential: bytes | None


_EXPRESSIONS: Final[Mapping[str, ColumnElement[Any]]] = {
    "user": _c.login_name,
    "has_credential": _c.credential.isnot(None),
    "state": SHOWN_STATE,
}
_JOB: Final = [
    _EXPRESSIONS[name] if name in _EXPRESSIONS else _c[name] for name in ReplicationJob.__struct_fields__
]
_EVENT: Final = [replication_job_events.c[name] for name in JobEvent.__struct_fields__]
_WANTED: Final = [_c[name] for name in WantedJob.__struct_fields__]


def job_of(row: Sequence[Any]) -> ReplicationJob:
    """A row of `select_jobs`."""
    return ReplicationJob(*row)


def select_jobs(
    scope: Scope, *, site: str | None = None, state: str | None = None, stuck: bool | None = None
) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ReplicationJob, of the sites in the scope."""
    statement = select(*_JOB).where(within(scope, site=_c.site))
    if site is not None:
        statement = statement.where(_c.site == site)
    if state is not None:
        statement = statement.where(SHOWN_STATE.in_([state]))
    if stuck is not None:
        statement = statement.where(_c.stuck_since.isnot(None) if stuck else _c.stuck_since.is_(None))
    return statement


def select_events(job: int) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of JobEvent, newest first."""
    e = replication_job_events.c
    return select(*_EVENT).where(e.job == job).order_by(e.id.desc())


def select_studies_at(site: str) -> Select[str]:
    """Statement: codes of the studies that run at a site, or whose participants are there."""
    runs = select(study_sites.c.study).where(study_sites.c.site == site)
    left = select(participants.c.study).where(participants.c.site == site)
    return select(union(runs, left).subquery().c.study)


def update_job(number: int, changes: Mapping[str, Any]) -> Update:
    """Statement: change what people want; the row has to be locked."""
    return (
        update(replication_jobs)
        .where(_c.id == number)
        .values(**changes, row_version=_c.row_version + 1, updated_at=func.now())
    )


UNSEEN: Final[Mapping[str, Any]] = {
    "state": "initializing",
    "pending": None,
    "written": None,
    "failures": None,
    "per_second": None,
    "next_retry_at": None,
}
"""A job that begins again: nothing was seen of this run. Its last error stays."""


def anything_to_watch() -> Select[bool]:
    """Statement: whether there is a job, or was until an hour ago: a document of it may still be written."""
    lately = _c.updated_at > func.now() - timedelta(hours=1)
    return select(exists().where(or_(_c.desired != "cancelled", lately)))


def select_wanted() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of WantedJob, of all jobs that have a document."""
    return select(*_WANTED).where(_c.desired == "running").order_by(_c.id)


def wanted_of(row: Sequence[Any]) -> WantedJob:
    """A row of `select_wanted`."""
    return WantedJob(*row)


def select_watched(numbers: Sequence[int]) -> Select[*tuple[Any, ...]]:
    """Statement: (id, site, name, memory, stuck_since, generation, attempt) of running jobs, locked."""
    return (
        select(_c.id, _c.site, _c.name, _c.memory, _c.stuck_since, _c.generation, _c.attempt)
        .where(_c.id.in_(sorted(numbers)), _c.desired == "running")
        .order_by(_c.id)
        .with_for_update()
    )


def update_seen(number: int, *, memory: Memory, **values: Any) -> Update:
    """Statement: what was seen of a job. Its version stays: nobody has changed what is wanted."""
    kept = msgspec.to_builtins(memory)
    return update(replication_jobs).where(_c.id == number).values(**values, memory=kept)


def insert_events(number: int, events: Sequence[Event]) -> Insert:
    """Statement: put events into the history; at least one."""
    return insert(replication_job_events).values(
        [{"job": number, "at": each.at, "state": each.state, "detail": each.detail} for each in events]
    )


def forget_events(number: int) -> Delete:
    """Statement: keep the last events of a job only."""
    e = replication_job_events.c
    kept = select(e.id).where(e.job == number).order_by(e.id.desc()).limit(EVENTS_KEPT)
    return delete(replication_job_events).where(e.job == number, e.id.notin_(kept))


class JobNumbers(msgspec.Struct, frozen=True):
    """How many jobs are in a state at a site, and how many of them are stuck."""

    site: str
    state: str
    jobs: int
    stuck: int


def select_job_numbers() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of JobNumbers, of jobs that are not cancelled."""
    return (
        select(_c.site, SHOWN_STATE, func.count(), func.count(_c.stuck_since))
        .where(_c.desired != "cancelled")
        .group_by(_c.site, SHOWN_STATE)
        .order_by(_c.site, SHOWN_STATE)
    )

"""Sessions as researchers look for them, and everything that is known of one.

A session is (site, id). An id alone usually names one session, but tablets of two sites can produce the same
one; `select_sites` tells, and the caller asks which is meant.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.rows import columns_of
from reporting.queries.snapshot import Listed, Page, list_page
from reporting.scope import Scope, within
from reporting.tables import quality_flags, scores, sessions, task_runs, trials

MOST_FLAGS = 1_000
"""Of one session that are shown: more are on single trials, of which a task run may have a thousand."""


class SessionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a session must be like; None = anything. Both times are included, aware."""

    study: str | None = None
    site: str | None = None
    participant: str | None = None
    visit: str | None = None
    status: str | None = None
    started_from: datetime | None = None
    started_to: datetime | None = None


class SessionRow(msgspec.Struct, frozen=True):
    """A session's own columns; see `reporting.tables.sessions`."""

    site: str
    id: str
    study: str
    participant: str
    visit: str | None
    status: str
    started_at: datetime
    ended_at: datetime | None
    utc_offset_minutes: int | None
    language: str | None
    battery_id: str | None
    battery_version: int | None
    device_id: str | None
    device_model: str | None
    device_os: str | None
    app_version: str | None
    rev: str
    received_at: datetime | None
    projected_at: datetime
    source_missing_at: datetime | None


class TaskRunRow(msgspec.Struct, frozen=True):
    """One run of one task. `summary` is what the tablet computed."""

    task: str
    run: int
    status: str | None
    started_at: datetime | None
    ended_at: datetime | None
    params: msgspec.Raw
    summary: msgspec.Raw
    n_trials: int


class ScoreRow(msgspec.Struct, frozen=True):
    """One score of one task run; `value` None = undefined (too few trials)."""

    task: str
    run: int
    name: str
    value: float | None
    scoring_version: int


class FlagRow(msgspec.Struct, frozen=True):
    """One quality flag: of a trial, a task run (`trial_index` None) or the session (`task` None too)."""

    task: str | None
    run: int | None
    trial_index: int | None
    code: str
    detail: msgspec.Raw
    rule_version: int


class TrialRow(msgspec.Struct, frozen=True):
    """One trial; times in milliseconds, `rt_ms` None = no response."""

    task: str
    run: int
    trial_index: int
    stage: str
    rt_ms: float | None
    correct: bool | None
    response: msgspec.Raw
    condition: str | None
    time_elapsed_ms: float | None
    extra: msgspec.Raw


class SessionDetail(msgspec.Struct, frozen=True):
    """A session with everything but its trials."""

    session: SessionRow
    task_runs: list[TaskRunRow]
    scores: list[ScoreRow]
    flags: list[FlagRow]


class TrialFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which trials of a session; None = any."""

    task: str | None = None
    run: int | None = None
    stage: str | None = None


_SESSION_COLUMNS = columns_of(SessionRow, sessions)


LATEST_FIRST = (sessions.c.started_at.desc(), sessions.c.site, sessions.c.id)

SORTABLE = {
    name: sessions.c[name]
    for name in ("started_at", "ended_at", "received_at", "study", "site", "participant", "visit", "status")
}


def select_sessions(wanted: SessionFilter, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: matching sessions of the scope, in no order."""
    c = sessions.c
    conditions = (
        (c.study, wanted.study),
        (c.site, wanted.site),
        (c.participant, wanted.participant),
        (c.visit, wanted.visit),
        (c.status, wanted.status),
    )
    statement = select(*_SESSION_COLUMNS).where(
        within(scope, study=c.study, site=c.site), *_equal(conditions)
    )
    if wanted.started_from is not None:
        statement = statement.where(c.started_at >= wanted.started_from)
    if wanted.started_to is not None:
        statement = statement.where(c.started_at <= wanted.started_to)
    return statement


def select_sites(session_id: str, site: str | None, scope: Scope) -> Select[str]:
    """Statement: the sites that have a session with this id in the scope; with `site`, that one if it has."""
    c = sessions.c
    statement = (
        select(c.site).where(c.id == session_id, within(scope, study=c.study, site=c.site)).order_by(c.site)
    )
    return statement if site is None else statement.where(c.site == site)


def select_trials(site: str, session_id: str, wanted: TrialFilter) -> Select[*tuple[Any, ...]]:
    """Statement: matching trials of one session, by task, run and trial index."""
    c = trials.c
    conditions = ((c.task, wanted.task), (c.run, wanted.run), (c.stage, wanted.stage))
    return (
        select(*columns_of(TrialRow, trials))
        .where(c.site == site, c.session_id == session_id, *_equal(conditions))
        .order_by(c.task, c.run, c.trial_index)
    )


async def list_trials(
    connection: AsyncConnection, *, site: str, session_id: str, wanted: TrialFilter, page: Page
) -> Listed[TrialRow]:
    """One page of a session's matching trials."""
    return await list_page(connection, TrialRow, select_trials(site, session_id, wanted), page)


async def read_session(connection: AsyncConnection, *, site: str, session_id: str) -> SessionDetail:
    """A session with its task runs, scores and flags; it must exist (on this snapshot)."""
    s, r, n, f = sessions.c, task_runs.c, scores.c, quality_flags.c
    own = await connection.execute(select(*_SESSION_COLUMNS).where(s.site == site, s.id == session_id))
    runs = await connection.execute(
        select(*columns_of(TaskRunRow, task_runs))
        .where(r.site == site, r.session_id == session_id)
        .order_by(r.task, r.run)
    )
    scored = await connection.execute(
        select(*columns_of(ScoreRow, scores))
        .where(n.site == site, n.session_id == session_id)
        .order_by(n.task, n.run, n.name)
    )
    flagged = await connection.execute(
        select(*columns_of(FlagRow, quality_flags))
        .where(f.site == site, f.session_id == session_id)
        .order_by(f.trial_index.nulls_first(), f.task.nulls_first(), f.run.nulls_first(), f.code)
        .limit(MOST_FLAGS)
    )
    return SessionDetail(
        session=SessionRow(*own.one()),
        task_runs=[TaskRunRow(*row) for row in runs],
        scores=[ScoreRow(*row) for row in scored],
        flags=[FlagRow(*row) for row in flagged],
    )


def _equal(conditions: Iterable[tuple[ColumnElement[Any], object]]) -> list[ColumnElement[bool]]:
    return [column == value for column, value in conditions if value is not None]

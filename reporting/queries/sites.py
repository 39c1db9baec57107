"""How each site stands: how far it is projected, through when it is complete, and what waits for a person.

Everything is Postgres's word; no site database is asked, so the answer costs the same when one is away.

- `complete_through`: every document that was acknowledged before this moment is judged. It trails by seconds.
- `lag_seconds`: for how long the oldest document waits that was received after that moment and is not judged.
  0: none waits. None: not known, while a site is read from its start.
- `pending`: changes after the last batch, when that batch was read.
- `quarantined` counts entries that nobody has accepted, `waived` the accepted ones.
- `devices_outstanding`, `documents_outstanding`: as the tablets themselves told last.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    not_,
    null,
    or_,
    select,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.rows import columns_of
from reporting.scope import Scope, within
from reporting.tables import (
    checkpoints,
    conflicts,
    device_status,
    devices,
    documents,
    ingest_log,
    quarantine,
    replays,
    site_states,
    sites,
    study_sites,
    waivers,
)


class SiteRow(msgspec.Struct, frozen=True):
    """One site. None: not known, or (`error`, `next_try_at`) nothing to tell."""

    site: str
    state: str | None
    state_since: datetime | None
    failures: int
    error: str | None
    next_try_at: datetime | None
    since: str | None
    """Feed position of the last batch, opaque."""
    pending: int | None
    advanced_at: datetime | None
    changed_at: datetime | None
    """When the last change of the feed was committed."""
    complete_through: datetime | None
    lag_seconds: float | None
    devices_outstanding: int
    documents_outstanding: int
    quarantined: int
    waived: int
    conflicts: int
    replays: int
    name: str | None
    """`name`, `timezone` and `status` as people have set the site up; None where nobody has."""
    timezone: str | None
    status: str | None
    row_version: int | None


class DeviceRow(msgspec.Struct, frozen=True):
    """What a tablet last told of itself; see `reporting.tables.device_status`."""

    device: str
    rev: str
    app_version: str | None
    os: str | None
    free_bytes: int | None
    battery_level: float | None
    outstanding: int | None
    clock_at: datetime | None
    received_at: datetime | None
    source_missing_at: datetime | None


_known = union(
    select(checkpoints.c.site),
    select(site_states.c.site),
    select(devices.c.site),
    select(sites.c.code.label("site")),
).subquery("known")


def select_sites(
    scope: Scope,
    site: str | None = None,
    *,
    study: str | None = None,
    q: str | None = None,
    codes: Collection[str] | None = None,
    only: Collection[str] | None = None,
) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of SiteRow of every site of the scope that is set up, projected, tried, or
    has a device; in no order. Of one site, of those at which a study runs, of those whose code or name has a
    text in it, of those with one of these codes. Fields that are not `only` wanted are NULL: most
    of a site's are counted for each.
    """
    columns = _site_columns()
    if only is not None:
        columns = [
            column if name in only else null()
            for name, column in zip(SiteRow.__struct_fields__, columns, strict=True)
        ]
    at, state = checkpoints.c, site_states.c
    statement = (
        select(*columns)
        .select_from(
            _known.outerjoin(checkpoints, at.site == _known.c.site)
            .outerjoin(site_states, state.site == _known.c.site)
            .outerjoin(sites, sites.c.code == _known.c.site)
        )
        .where(within(scope, site=_known.c.site))
    )
    if study is not None:
        here = select(study_sites.c.site).where(study_sites.c.study == study)
        statement = statement.where(_known.c.site.in_(here))
    if q is not None:
        found = (column.icontains(q, autoescape=True) for column in (_known.c.site, sites.c.name))
        statement = statement.where(or_(*found))
    if codes is not None:
        statement = statement.where(_known.c.site.in_(codes))
    return statement if site is None else statement.where(_known.c.site == site)


def _site_columns() -> list[ColumnElement[Any]]:
    """The fields of SiteRow."""
    at, state = checkpoints.c, site_states.c
    return [
        _known.c.site,
        state.state,
        state.since,
        func.coalesce(state.failures, 0),
        state.error,
        state.next_try_at,
        at.since,
        at.pending,
        at.advanced_at,
        at.changed_at,
        at.complete_through,
        _lag_seconds(),
        _of_site(select(func.count()), device_status).where(_is_outstanding()).scalar_subquery(),
        _of_site(select(func.coalesce(func.sum(device_status.c.outstanding), 0)), device_status)
        .where(_is_outstanding())
        .scalar_subquery(),
        _of_site(select(func.count()), quarantine).where(not_(_is_waived())).scalar_subquery(),
        _of_site(select(func.count()), quarantine).where(_is_waived()).scalar_subquery(),
        _of_site(select(func.count()), conflicts).where(conflicts.c.state != "resolved").scalar_subquery(),
        _of_site(select(func.count()), replays).scalar_subquery(),
        sites.c.name,
        sites.c.timezone,
        sites.c.status,
        sites.c.row_version,
    ]


def worst_first() -> tuple[ColumnElement[Any], ...]:
    """Order of sites: what needs a person, what tries again, where something waits; then by name.

    Found out by a few looks at all sites together, so that what is counted for each is counted only for those
    that are shown.
    """
    here, state = _known.c.site, site_states.c.state
    waits = or_(
        here.in_(select(device_status.c.site).where(_is_outstanding())),
        here.in_(select(quarantine.c.site).where(not_(_is_waived()))),
        here.in_(select(conflicts.c.site).where(conflicts.c.state != "resolved")),
    )
    rank = case((state == "error", 0), (state == "backing_off", 1), (waits, 2), else_=3)
    return rank, here


BY_NAME = (_known.c.site,)

SORTABLE = {
    "site": _known.c.site,
    "state": site_states.c.state,
    "complete_through": checkpoints.c.complete_through,
    "advanced_at": checkpoints.c.advanced_at,
}


def select_complete_through(site: str | None, scope: Scope) -> Select[str, datetime | None]:
    """Statement: through when each site of the scope is complete, or that one; absent: never projected."""
    c = checkpoints.c
    statement = select(c.site, c.complete_through).where(within(scope, site=c.site)).order_by(c.site)
    return statement if site is None else statement.where(c.site == site)


async def read_site(connection: AsyncConnection, site: str, scope: Scope) -> SiteRow | None:
    """One site; None where nobody knows it, or the scope does not reach it."""
    row = (await connection.execute(select_sites(scope, site))).one_or_none()
    return None if row is None else SiteRow(*row)


async def list_devices(connection: AsyncConnection, site: str) -> list[DeviceRow]:
    """What the site's tablets last told of themselves, by name."""
    c = device_status.c
    found = await connection.execute(
        select(*columns_of(DeviceRow, device_status)).where(c.site == site).order_by(c.device)
    )
    return [DeviceRow(*row) for row in found]


async def read_complete_through(
    connection: AsyncConnection, *, site: str | None, scope: Scope
) -> dict[str, datetime | None]:
    """By site, through when it is complete: of all sites that an answer may draw on, or of that one."""
    found = await connection.execute(select_complete_through(site, scope))
    return {row.site: row.complete_through for row in found}


def _of_site(counting: Select[Any], table: Any) -> Select[Any]:
    return counting.select_from(table).where(table.c.site == _known.c.site).correlate(_known)


def _is_outstanding() -> ColumnElement[bool]:
    return and_(device_status.c.outstanding > 0, device_status.c.source_missing_at.is_(None))


def _is_waived() -> ColumnElement[bool]:
    q, w = quarantine.c, waivers.c
    return exists().where(w.site == q.site, w.doc_id == q.doc_id, w.code == q.code, w.path == q.path)


def _lag_seconds() -> ColumnElement[float | None]:
    """Since the receipt of the oldest document that was not judged after it was received."""
    log, judged = ingest_log.c, documents.c
    oldest = (
        select(func.min(log.received_at))
        .where(
            log.site == _known.c.site,
            log.outcome == "received",
            log.received_at > checkpoints.c.complete_through,
            not_(
                exists().where(
                    judged.site == log.site,
                    judged.doc_id == log.doc_id,
                    or_(judged.projected_at >= log.received_at, log.rev == any_(judged.leaves)),
                )
            ),
        )
        .correlate(_known, checkpoints)
        .scalar_subquery()
    )
    return case(
        (checkpoints.c.complete_through.is_(None), null()),
        else_=cast(func.coalesce(func.extract("epoch", func.now() - oldest), 0), Double),
    )

"""Sites: rows and statements; how a site stands with its tablets is in `reporting.queries.sites`.

| what happens | outcome |
|---|---|
| a device is enrolled while its site is archived | `hold_site` orders them: either sees the other |
| a site is known from before this table was | the migration, or the next enrolment, makes its row |
"""

from datetime import datetime
from functools import cache
from typing import Any, Literal
from zoneinfo import available_timezones

import msgspec
from sqlalchemy import Select, Update, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.queries.rows import columns_of
from reporting.tables import device_status, devices, sites


class SiteRecord(msgspec.Struct, frozen=True):
    """A site, as people have set it up."""

    code: str
    name: str
    timezone: str
    status: Literal["open", "archived"]
    row_version: int
    created_at: datetime
    updated_at: datetime


class Outstanding(msgspec.Struct, frozen=True):
    """A tablet that told of documents which it has not handed in."""

    device: str
    documents: int


_s = sites.c


def select_site(site: str, *, lock: bool = False) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of SiteRecord; with `lock` it stays as it is until the transaction ends."""
    statement = select(*columns_of(SiteRecord, sites)).where(_s.code == site)
    return statement.with_for_update() if lock else statement


def select_site_status(site: str) -> Select[str]:
    """Statement: the status of a site."""
    return select(_s.status).where(_s.code == site)


def hold_site(site: str) -> Select[str]:
    """Statement: the status of a site, which stays so until the transaction ends."""
    return select_site_status(site).with_for_update(read=True)


def insert_site(code: str, **fields: Any) -> ReturningInsert[Any]:
    """Statement: insert, unless there is one with that code; returns its code."""
    return insert(sites).values(code=code, **fields).on_conflict_do_nothing().returning(_s.code)


def update_site(site: str, **fields: Any) -> Update:
    """Statement: change these fields."""
    changed = {"row_version": _s.row_version + 1, "updated_at": func.now()}
    return update(sites).where(_s.code == site).values(**fields, **changed)


def select_outstanding(site: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of Outstanding of the site's tablets."""
    d = device_status.c
    still = (d.outstanding > 0, d.source_missing_at.is_(None))
    return select(d.device, d.outstanding).where(d.site == site, *still).order_by(d.device)


def select_devices_in_force(site: str) -> Select[str]:
    """Statement: names of the site's devices that may sync."""
    d = devices.c
    return select(d.device).where(d.site == site, d.revoked_at.is_(None)).distinct().order_by(d.device)


@cache
def timezones() -> frozenset[str]:
    """The names of the IANA database; it comes with the `tzdata` package where the machine has none."""
    return frozenset(available_timezones())

"""Devices as site admins look for them: which tablets still hold data, which are old, wrong or gone.

A device is (site, name); it may have had several credentials. What it is like comes from its own `device`
document, when it was seen from the gateway, what was refused from the ingest log. A hub has no document: it
tells `/api/sync/hub/status`, at each contact.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Double, Select, and_, case, cast, func, select, tuple_, union

from reporting.tables import (
    device_activity,
    device_labels,
    device_status,
    devices,
    enrolment_codes,
    hubs,
    ingest_log,
)


class EnrolledDevice(msgspec.Struct, frozen=True):
    """One device. None: nobody knows. Times are the server's, except `clock_at`."""

    site: str
    device: str
    role: str
    label: str
    state: Literal["enrolled", "revoked"]
    enrolled_at: datetime
    revoked_at: datetime | None
    last_seen_at: datetime | None
    last_push_at: datetime | None
    app: str | None
    app_version: str | None
    os: str | None
    free_bytes: int | None
    battery_level: float | None
    outstanding: int | None
    """Documents that it had not pushed when it last told; of a hub, what its tablets wrote too."""
    status_at: datetime | None
    """When it last told."""
    clock_at: datetime | None
    clock_offset_s: float | None
    """Seconds by which its clock was behind when it last told."""
    refused: int
    """Documents of it that were refused."""
    row_version: int


class RefusedDocument(msgspec.Struct, frozen=True):
    """A revision that was refused, and why."""

    doc_id: str
    rev: str
    received_at: datetime
    reason: str | None
    request_id: str


class PendingCode(msgspec.Struct, frozen=True):
    """A one-time code, never the code itself."""

    id: int
    site: str
    device: str
    role: str
    label: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    redeemed_at: datetime | None
    cancelled_at: datetime | None


_latest = (
    select(
        devices.c.site,
        devices.c.device,
        func.min(devices.c.enrolled_at).label("enrolled_at"),
        func.max(devices.c.role).label("role"),
        func.bool_or(devices.c.revoked_at.is_(None)).label("in_force"),
        func.max(devices.c.revoked_at).label("revoked_at"),
    )
    .group_by(devices.c.site, devices.c.device)
    .subquery("latest")
)
_d, _l, _a, _s, _h = _latest.c, device_labels.c, device_activity.c, device_status.c, hubs.c
_outstanding = func.coalesce(_h.documents_waiting, _s.outstanding)
_told_at = func.coalesce(_h.told_at, _s.received_at)
_clock_at = func.coalesce(_h.clock_at, _s.clock_at)
_last_seen_at = func.greatest(_a.last_seen_at, _h.told_at)
_app_version = func.coalesce(_h.app, _s.app_version)
_state = case((_d.in_force, "enrolled"), else_="revoked")
_refused = (
    select(func.count())
    .select_from(ingest_log)
    .where(
        ingest_log.c.site == _d.site,
        ingest_log.c.device == _d.device,
        ingest_log.c.outcome == "refused",
    )
    .correlate(_latest)
    .scalar_subquery()
)

_told_of_some = union(
    select(device_status.c.site, device_status.c.device).where(device_status.c.outstanding > 0),
    select(hubs.c.site, hubs.c.device).where(hubs.c.documents_waiting > 0),
)

SORTABLE: dict[str, ColumnElement[Any]] = {
    "site": _d.site,
    "device": _d.device,
    "enrolled_at": _d.enrolled_at,
    "last_seen_at": _last_seen_at,
    "last_push_at": _a.last_push_at,
    "outstanding": _outstanding,
    "app_version": _app_version,
}
KEY = (_d.site, _d.device)


def select_devices(
    *,
    within: ColumnElement[bool] | None = None,
    site: str | None = None,
    role: str | None = None,
    state: str | None = None,
    outstanding: bool | None = None,
    device: str | None = None,
) -> Select[*tuple[Any, ...]]:
    """Statement: the members of EnrolledDevice, of the devices that match; `within` is about DEVICE_SITE."""
    statement = select(
        _d.site,
        _d.device,
        _d.role,
        func.coalesce(_l.label, ""),
        _state,
        _d.enrolled_at,
        case((_d.in_force, None), else_=_d.revoked_at),
        _last_seen_at,
        _a.last_push_at,
        _a.app,
        _app_version,
        _s.os,
        func.coalesce(_h.storage_free_bytes, _s.free_bytes),
        _s.battery_level,
        _outstanding,
        _told_at,
        _clock_at,
        cast(func.extract("epoch", _told_at - _clock_at), Double),
        _refused,
        func.coalesce(_l.row_version, 1),
    ).select_from(
        _latest.outerjoin(device_labels, and_(_l.site == _d.site, _l.device == _d.device))
        .outerjoin(device_activity, and_(_a.site == _d.site, _a.device == _d.device))
        .outerjoin(
            device_status,
            and_(_s.site == _d.site, _s.device == _d.device, _s.source_missing_at.is_(None)),
        )
        .outerjoin(hubs, and_(_h.site == _d.site, _h.device == _d.device))
    )
    conditions = ((_d.site, site), (_d.role, role), (_state, state), (_d.device, device))
    statement = statement.where(*(column == value for column, value in conditions if value is not None))
    if within is not None:
        statement = statement.where(within)
    if outstanding is not None:
        holds = func.coalesce(_outstanding, 0) > 0
        statement = statement.where(holds if outstanding else ~holds)
    if outstanding:
        # Says the same again, of few rows: for the first page of ten thousand tablets all of them would
        # otherwise be compared with each other.
        statement = statement.where(tuple_(_d.site, _d.device).in_(_told_of_some))
    return statement


DEVICE_SITE: ColumnElement[str] = _d.site


def select_refused(site: str, device: str) -> Select[*tuple[Any, ...]]:
    """Statement: the members of RefusedDocument, of one device."""
    c = ingest_log.c
    return select(c.doc_id, c.rev, c.received_at, c.reason, c.request_id).where(
        c.site == site, c.device == device, c.outcome == "refused"
    )


def select_codes(within: ColumnElement[bool], site: str | None) -> Select[*tuple[Any, ...]]:
    """Statement: the members of PendingCode, the open ones or all of a site."""
    c = enrolment_codes.c
    statement = select(
        c.id,
        c.site,
        c.device,
        c.role,
        c.label,
        c.created_by,
        c.created_at,
        c.expires_at,
        c.redeemed_at,
        c.cancelled_at,
    ).where(within)
    return statement if site is None else statement.where(c.site == site)

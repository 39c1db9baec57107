"""How complete a study's data are, site by site: part of every answer, so that nobody mistakes what has come
for all there is.

`complete_through`: every document that was acknowledged before this moment is judged; None: not known.
`devices_outstanding`, `documents_outstanding`: as the tablets themselves told last. `quarantined`: documents
that could not be read as data, and that nobody has accepted as such.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, Subquery, and_, exists, func, not_, or_, select

from reporting.research.audience import Wanted
from reporting.tables import checkpoints, device_status, quarantine, sessions, sites, study_sites, waivers


class SiteStanding(msgspec.Struct, frozen=True):
    """One site; see the module."""

    site: str
    complete_through: datetime | None
    devices_outstanding: int
    documents_outstanding: int
    quarantined: int


def select_standing(wanted: Wanted) -> Select[Any]:
    """Statement: the fields of SiteStanding of the sites where the study runs (from which it has sessions,
    where it is not said where: of others its members need not know), by site.
    """
    ours = study_sites.c.study == wanted.study
    runs_at = select(study_sites.c.site).where(ours)
    has_sessions = exists().where(sessions.c.site == sites.c.code, sessions.c.study == wanted.study)
    known = (
        select(sites.c.code.label("site"))
        .where(or_(sites.c.code.in_(runs_at), and_(not_(exists().where(ours)), has_sessions)))
        .subquery("known")
    )
    devices, quarantined = _devices(), _quarantined()
    statement = (
        select(
            known.c.site,
            checkpoints.c.complete_through,
            func.coalesce(devices.c.devices, 0),
            func.coalesce(devices.c.documents, 0),
            func.coalesce(quarantined.c.documents, 0),
        )
        .select_from(
            known.outerjoin(checkpoints, checkpoints.c.site == known.c.site)
            .outerjoin(devices, devices.c.site == known.c.site)
            .outerjoin(quarantined, quarantined.c.site == known.c.site)
        )
        .order_by(known.c.site)
    )
    return statement if wanted.sites is None else statement.where(known.c.site.in_(wanted.sites))


def earliest(standing: Iterable[SiteStanding]) -> datetime | None:
    """Through when all of them are complete; None: of one it is not known, or there is none."""
    known = [each.complete_through for each in standing]
    return None if None in known else min((each for each in known if each is not None), default=None)


def _devices() -> Subquery:
    d = device_status.c
    return (
        select(d.site, func.count().label("devices"), func.sum(d.outstanding).label("documents"))
        .where(and_(d.outstanding > 0, d.source_missing_at.is_(None)))
        .group_by(d.site)
        .subquery("devices")
    )


def _quarantined() -> Subquery:
    q, w = quarantine.c, waivers.c
    waived = exists().where(w.site == q.site, w.doc_id == q.doc_id, w.code == q.code, w.path == q.path)
    return (
        select(q.site, func.count().label("documents"))
        .where(not_(waived))
        .group_by(q.site)
        .subquery("quarantined")
    )

"""Through when the data of a file are complete, per site, and what was outstanding. Statements.

A file is the same bytes for the same data, so what stands in it changes with the data alone: `changed_at`,
when the last change of the site database was taken over. The moment through which that is all moves on with
every look of the projector; it is on the file's row (`complete_through`), and not in the file.

| member | is |
|---|---|
| `changed_at` | when the last change of the site database was taken over; null: none was |
| `complete_through` | what the server acknowledged before then is in the rows |
| `rereading` | the site database is being read again from its start: rows may be from before |
| `outstanding` | documents that tablets of the site say they have not pushed, of whatever study |
| `quarantined` | documents of the site in quarantine, of whatever study |
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import CompoundSelect, Connection, Select, func, select, union

from reporting.tables import checkpoints, device_status, quarantine, sessions, study_sites

Watermark = dict[str, dict[str, Any]]
"""By site."""


def read_watermark(connection: Connection, study: str, sites: Sequence[str] | None) -> Watermark:
    """Of the sites at which the study runs, or from which it has sessions; `sites` None: all of them."""
    rows = connection.execute(_select_watermark(study, sites)).mappings()
    told: Watermark = msgspec.to_builtins({row["site"]: {**row} for row in rows})
    for site in told.values():
        del site["site"]
    return told


def select_sites(study: str) -> CompoundSelect[str]:
    """Statement: the sites at which the study runs, or from which it has sessions."""
    return union(
        select(study_sites.c.site).where(study_sites.c.study == study),
        select(sessions.c.site).where(sessions.c.study == study),
    )


def in_the_file(watermark: Mapping[str, Mapping[str, Any]]) -> Watermark:
    """Without what moves on though nothing has changed."""
    return {
        site: {name: value for name, value in told.items() if name != "complete_through"}
        for site, told in watermark.items()
    }


def _select_watermark(study: str, sites: Sequence[str] | None) -> Select[Any]:
    c, d, q = checkpoints.c, device_status.c, quarantine.c
    here = select_sites(study).subquery("here")
    outstanding = (
        select(func.coalesce(func.sum(d.outstanding), 0))
        .where(d.site == here.c.site, d.source_missing_at.is_(None))
        .scalar_subquery()
    )
    quarantined = select(func.count()).where(q.site == here.c.site).scalar_subquery()
    statement = (
        select(
            here.c.site,
            c.changed_at,
            c.complete_through,
            func.coalesce(c.rereading, True).label("rereading"),
            outstanding.label("outstanding"),
            quarantined.label("quarantined"),
        )
        .select_from(here.outerjoin(checkpoints, c.site == here.c.site))
        .order_by(here.c.site)
    )
    return statement if sites is None else statement.where(here.c.site.in_(list(sites)))

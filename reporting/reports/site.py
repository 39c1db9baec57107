"""A site's report: enrolment, visits, quality and sync of one study at one site."""

from sqlalchemy import Connection, and_, func, select

from reporting.quality.registry import RULES, Level
from reporting.reports.contents import DeviceShown, SiteReport
from reporting.reports.counting import read_flags, read_months, read_statuses, read_visits, total
from reporting.reports.provenance import read_heading, read_provenance
from reporting.reports.scope import NotThere, Reach
from reporting.tables import device_labels, device_status, quality_flags, sessions, sites

NOTABLE = tuple(code for code, rule in RULES.items() if rule.level is not Level.INFO)
"""Flags for which one looks at a session before one uses it."""
SERIOUS = tuple(code for code, rule in RULES.items() if rule.level is Level.SERIOUS)


def read_site_report(connection: Connection, reach: Reach) -> SiteReport:
    """The report of the only site in reach. Raises NotThere for a site or study that nobody knows."""
    (site,) = reach.sites or ()
    heading = read_heading(connection, reach.study)
    if heading is None:
        raise NotThere(f"There is no study {reach.study!r}.")
    provenance = read_provenance(connection, reach)
    standing = next((each for each in provenance.standing if each.site == site), None)
    if standing is None:
        raise NotThere(f"The study {reach.study!r} does not run at {site!r}, and has no sessions from there.")
    s = sites.c
    known = connection.execute(select(s.name, s.timezone, s.status).where(s.code == site)).one_or_none()
    name, timezone, status = known or ("", "UTC", "open")
    months, undated = read_months(connection, reach)
    done, completed = _sessions(connection, reach)
    return SiteReport(
        study=heading,
        site=site,
        name=name,
        timezone=timezone,
        status=status,
        participants=total(read_statuses(connection, reach)),
        months=months,
        undated=undated,
        visits=read_visits(connection, reach),
        sessions=done,
        sessions_completed=completed,
        sessions_flagged=count_flagged(connection, reach, NOTABLE).get(site, 0),
        sessions_serious=count_flagged(connection, reach, SERIOUS).get(site, 0),
        flags=read_flags(connection, reach),
        devices=_devices(connection, site),
        standing=standing,
        provenance=provenance,
    )


def _sessions(connection: Connection, reach: Reach) -> tuple[int, int]:
    s = sessions.c
    row = connection.execute(
        select(func.count(), func.count().filter(s.status == "completed")).where(reach.holds_session())
    ).one()
    return row[0], row[1]


def count_flagged(connection: Connection, reach: Reach, codes: tuple[str, ...]) -> dict[str, int]:
    """By site, how many sessions have any of these flags."""
    s, f = sessions.c, quality_flags.c
    is_flagged = select(f.code).where(f.site == s.site, f.session_id == s.id, f.code.in_(codes)).exists()
    found = connection.execute(
        select(s.site, func.count()).where(reach.holds_session(), is_flagged).group_by(s.site)
    )
    return {row[0]: row[1] for row in found}


def _devices(connection: Connection, site: str) -> tuple[DeviceShown, ...]:
    d, label = device_status.c, device_labels.c
    found = connection.execute(
        select(d.device, func.coalesce(label.label, ""), d.app_version, d.outstanding, d.received_at)
        .outerjoin(device_labels, and_(label.site == d.site, label.device == d.device))
        .where(d.site == site, d.source_missing_at.is_(None))
        .order_by(d.device)
    )
    return tuple(DeviceShown(*row) for row in found)

"""What sites and studies have in numbers: participants, months, visits, flags."""

from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import Connection, Date, Select, and_, cast, func, select

from reporting.quality.registry import RULES, Level
from reporting.reports.contents import FlagCount, MonthCount, StatusCount, VisitCount
from reporting.reports.scope import Reach
from reporting.tables import participants, quality_flags, sessions, visit_definitions, visits

_WORST_FIRST = (Level.SERIOUS, Level.WARNING, Level.INFO)


def level_of(code: str) -> Level:
    """How serious a flag is; one of a rule that there is no more counts as a warning."""
    return RULES[code].level if code in RULES else Level.WARNING


def read_statuses(connection: Connection, reach: Reach) -> dict[str | None, StatusCount]:
    """Participants on the roster by site; those of none under None."""
    p = participants.c
    found = connection.execute(
        select(p.site, p.status, func.count().label("number"))
        .where(reach.holds(p.study, p.site))
        .group_by(p.site, p.status)
    )
    counts: dict[str | None, dict[str, int]] = defaultdict(dict)
    for row in found:
        counts[row.site][row.status] = row.number
    return {site: StatusCount(**of_site) for site, of_site in counts.items()}


def total(counts: dict[str | None, StatusCount]) -> StatusCount:
    """All of them."""
    return StatusCount(
        screened=sum(each.screened for each in counts.values()),
        enrolled=sum(each.enrolled for each in counts.values()),
        withdrawn=sum(each.withdrawn for each in counts.values()),
        completed=sum(each.completed for each in counts.values()),
    )


def read_months(connection: Connection, reach: Reach) -> tuple[tuple[MonthCount, ...], int]:
    """Every month from the first to the last in which anything was; and how many were enrolled on no day."""
    p, s = participants.c, sessions.c
    at = func.coalesce(s.started_at_corrected, s.started_at)
    enrolled = _by_month(connection, p.enrolled_on, reach.holds(p.study, p.site), p.status != "screened")
    done = _by_month(connection, at, reach.holds_session())
    undated = enrolled.pop(None, 0)
    done.pop(None, None)
    known = sorted({month for month in (*enrolled, *done) if month is not None})
    months = _from_to(known[0], known[-1]) if known else []
    return tuple(MonthCount(month, enrolled.get(month, 0), done.get(month, 0)) for month in months), undated


def _by_month(connection: Connection, day: Any, *conditions: Any) -> dict[date | None, int]:
    # Connections run in UTC.
    month = cast(func.date_trunc("month", day), Date)
    found = connection.execute(select(month, func.count()).where(*conditions).group_by(month))
    return {row[0]: row[1] for row in found}


def _from_to(first: date, last: date) -> list[date]:
    months = [first]
    while months[-1] < last:
        month = months[-1]
        months.append(date(month.year + month.month // 12, month.month % 12 + 1, 1))
    return months


def read_visits(connection: Connection, reach: Reach) -> tuple[VisitCount, ...]:
    """By visit definition, in the study's order; a visit whose definition is gone comes last."""
    v, d = visits.c, visit_definitions.c
    states = [
        func.count().filter(v.state == state)
        for state in ("planned", "due", "completed", "missed", "cancelled")
    ]
    found = connection.execute(
        select(
            v.code,
            func.coalesce(d.title, ""),
            *states,
            func.count().filter(and_(v.state == "completed", v.in_window)),
        )
        .outerjoin(visit_definitions, and_(d.study == v.study, d.code == v.code))
        .where(reach.holds(v.study, v.site))
        .group_by(v.code, d.title, d.position)
        .order_by(d.position.nulls_last(), v.code)
    )
    return tuple(VisitCount(*row) for row in found)


def select_flagged(reach: Reach) -> Select[Any]:
    """Statement: site, session, code and number of flags of sessions in reach."""
    s, f = sessions.c, quality_flags.c
    return (
        select(f.site, f.session_id, s.participant, f.code, func.count().label("flags"))
        .join(sessions, and_(s.site == f.site, s.id == f.session_id))
        .where(reach.holds_session())
        .group_by(f.site, f.session_id, s.participant, f.code)
    )


def read_flags(connection: Connection, reach: Reach, participant: str | None = None) -> tuple[FlagCount, ...]:
    """By code, the most serious and the most frequent first."""
    flagged = select_flagged(reach)
    if participant is not None:
        flagged = flagged.where(sessions.c.participant == participant)
    each = flagged.subquery().c
    found = connection.execute(
        select(each.code, func.sum(each.flags), func.count()).group_by(each.code).order_by(each.code)
    )
    counts = [FlagCount(code, level_of(code), int(flags), number) for code, flags, number in found]
    return tuple(
        sorted(counts, key=lambda each: (_WORST_FIRST.index(Level(each.level)), -each.sessions, each.code))
    )

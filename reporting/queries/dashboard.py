"""How studies and sites are doing, at one moment: a few statements, whatever there is, and short lists.

Weeks begin on Monday and are told by it. Days of sessions are days of the server's clock (UTC), when they
were received; days of participants and visits are those of their sites. Where somebody may see some sites
of a study only, everything counts these alone.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ARRAY, Column, Date, Select, and_, cast, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.sites import BY_NAME, SiteRow, select_sites, worst_first
from reporting.queries.tallies import Tallies, read_tallies
from reporting.scope import Part, Scope, within
from reporting.tables import device_activity, sessions, sites, studies, visits
from reporting.tables.base import Timestamp
from reporting.visits.listing import KEY, VisitFilter, VisitRow, select_visits
from reporting.visits.schedule import OPEN

ACTIVITY_DAYS: Final = 30
COMING_DAYS: Final = 7
CURVE_WEEKS: Final = 104
SHOWN_VISITS: Final = 50
MOST_ROWS: Final = 500
"""Of studies and of sites."""


class StudySummary(msgspec.Struct, frozen=True):
    """An active study."""

    study: str
    title: str
    enrolled: int
    """Participants that are enrolled now."""
    visits_due: int
    visits_overdue: int
    visits_missed: int
    visits_completed: int


class DayActivity(msgspec.Struct, frozen=True):
    """Sessions received on a day; days without any are there too."""

    day: date
    sessions: int


class CurvePoint(msgspec.Struct, frozen=True):
    """A week, by its Monday, and all there were until its end."""

    week: date
    enrolled: int
    enrolled_in_all: int
    completed: int
    """Visits."""
    completed_in_all: int


class SiteHealth(msgspec.Struct, frozen=True):
    """How a site syncs. None: never, or not known."""

    site: str
    name: str | None
    state: str | None
    error: str | None
    last_push_at: datetime | None
    """When a device last handed in documents."""
    changed_at: datetime | None
    """When something of it was projected last."""
    complete_through: datetime | None
    complete_age_seconds: float | None
    lag_seconds: float | None
    devices_outstanding: int
    documents_outstanding: int
    quarantined: int
    conflicts: int


class SomeVisits(msgspec.Struct, frozen=True):
    """How many there are, and the first 50 of them."""

    total: int
    visits: list[VisitRow]


class Dashboard(msgspec.Struct, frozen=True):
    """Everything of one moment, `at`."""

    at: datetime
    studies: list[StudySummary]
    activity: list[DayActivity]
    coming: SomeVisits
    """Planned or due in the next 7 days, at their sites."""
    overdue: SomeVisits
    curves: list[CurvePoint]
    sites: list[SiteHealth]
    synced_today: int
    """Sites, of all in the scope, at which a device handed in documents since midnight (UTC)."""


def narrowed(scope: Scope, study: str) -> Scope:
    """Of the scope, what belongs to a study."""
    return Scope(tuple(Part(study, part.site) for part in scope.parts if part.study in (None, study)))


async def read_dashboard(
    connection: AsyncConnection,
    scope: Scope,
    today: Mapping[str, date],
    *,
    study: str | None = None,
    study_sites: Sequence[str] = (),
    health: Scope,
    most_sites: int | None = None,
) -> Dashboard:
    """What is in the scope. `study`: that one alone, also if it is not active, with the health of its sites.
    `today` by timezone, with UTC; `health` says which sites may be seen. `most_sites`: so many, those first
    that need a person; without, by name.
    """
    only = None if study is None else study_sites
    now: datetime = (await connection.execute(select(func.now()))).scalar_one()
    tallies = await read_tallies(connection, scope, today, _first_week(now.date()))
    overdue = select_visits(today, scope, VisitFilter(overdue=True))
    return Dashboard(
        at=now,
        studies=await _studies(connection, scope, study, tallies),
        activity=await _activity(connection, scope, now),
        coming=await _coming(connection, _select_coming(scope, today)),
        overdue=await _overdue(connection, overdue, tallies),
        curves=_curves(tallies, now.date()),
        sites=await _health(connection, health, only, now, most_sites),
        synced_today=await _synced_today(connection, health, only, now),
    )


async def _studies(
    connection: AsyncConnection, scope: Scope, study: str | None, tallies: Tallies
) -> list[StudySummary]:
    s = studies.c
    is_wanted = s.status == "active" if study is None else s.code == study
    statement = select(s.code, s.title).where(is_wanted, within(scope, study=s.code))
    found = await connection.execute(statement.order_by(s.code).limit(MOST_ROWS))
    return [
        StudySummary(
            study=code,
            title=title,
            enrolled=tallies.people[code, "enrolled"],
            visits_due=tallies.visits[code, "due"],
            visits_overdue=tallies.overdue[code],
            visits_missed=tallies.visits[code, "missed"],
            visits_completed=tallies.visits[code, "completed"],
        )
        for code, title in found
    ]


def _select_coming(scope: Scope, today: Mapping[str, date]) -> Select[Any]:
    v = visits.c
    by_day: dict[date, list[str]] = defaultdict(list)
    for zone, each in today.items():
        by_day[each].append(zone)
    coming = [
        and_(
            func.coalesce(sites.c.timezone, "UTC").in_(zones),
            v.due_on.between(each, each + timedelta(days=COMING_DAYS - 1)),
        )
        for each, zones in by_day.items()
    ]
    there = select_visits(today, scope, VisitFilter()).outerjoin(sites, sites.c.code == v.site)
    return there.where(v.state.in_(OPEN), or_(*coming))


async def _coming(connection: AsyncConnection, matching: Select[Any]) -> SomeVisits:
    """Counted and put in order by their key alone; the rest is read of those that are shown."""
    v = visits.c
    key = (v.study, v.participant, v.code)
    number = func.count().over().label("number")
    first = matching.with_only_columns(*key, number).order_by(*KEY).limit(SHOWN_VISITS).cte("first")
    is_first = tuple_(*key).in_(select(*(first.c[column.name] for column in key)))
    total = select(func.max(first.c.number)).scalar_subquery()
    statement = matching.where(is_first).add_columns(total.label("number")).order_by(*KEY)
    rows = (await connection.execute(statement)).all()
    return SomeVisits(rows[0].number if rows else 0, [VisitRow(*row[:-1]) for row in rows])


async def _overdue(connection: AsyncConnection, matching: Select[Any], tallies: Tallies) -> SomeVisits:
    rows = await connection.execute(matching.order_by(*KEY).limit(SHOWN_VISITS))
    return SomeVisits(tallies.overdue.total(), [VisitRow(*row) for row in rows])


async def _activity(connection: AsyncConnection, scope: Scope, now: datetime) -> list[DayActivity]:
    s = sessions.c
    shown = [now.date() - timedelta(days=ago) for ago in reversed(range(ACTIVITY_DAYS))]
    given = func.unnest(literal(shown, ARRAY(Date))).table_valued(Column("day", Date))
    each = given.render_derived(name="each_day")
    day = each.c.day
    # A part of the index for each day: what day each session is of need not be found out. In UTC, as
    # connections are.
    of_day = (
        select(func.count())
        .select_from(sessions)
        .where(
            s.received_at >= cast(day, Timestamp),
            s.received_at < cast(day + 1, Timestamp),
            within(scope, study=s.study, site=s.site),
        )
        .correlate(each)
        .scalar_subquery()
    )
    return [DayActivity(*row) for row in await connection.execute(select(day, of_day).order_by(day))]


def _first_week(today: date) -> date:
    return today - timedelta(days=today.weekday()) - timedelta(weeks=CURVE_WEEKS - 1)


def _curves(tallies: Tallies, today: date) -> list[CurvePoint]:
    this_week = today - timedelta(days=today.weekday())
    counts: Counter[tuple[str, date]] = Counter()
    for what, of_week in (("enrolled", tallies.enrolled), ("completed", tallies.completed)):
        for week, number in of_week.items():
            # Of the future, where a clock or a form was wrong: shown as of now.
            counts[what, min(week, this_week)] += number
    week = min((week for _, week in counts), default=this_week)
    points: list[CurvePoint] = []
    total = {"enrolled": 0, "completed": 0}
    while week <= this_week:
        now = {what: counts[what, week] for what in total}
        total = {what: total[what] + now[what] for what in total}
        points.append(
            CurvePoint(week, now["enrolled"], total["enrolled"], now["completed"], total["completed"])
        )
        week += timedelta(weeks=1)
    return points


async def _synced_today(
    connection: AsyncConnection, scope: Scope, only: Sequence[str] | None, now: datetime
) -> int:
    d = device_activity.c
    statement = select(func.count(d.site.distinct())).where(
        cast(d.last_push_at, Date) == now.date(), within(scope, site=d.site)
    )
    if only is not None:
        statement = statement.where(d.site.in_(only))
    return (await connection.execute(statement)).scalar_one()


async def _health(
    connection: AsyncConnection,
    scope: Scope,
    only: Sequence[str] | None,
    now: datetime,
    most: int | None,
) -> list[SiteHealth]:
    statement = select_sites(scope)
    if only is not None:
        statement = statement.where(BY_NAME[0].in_(only))
    order = BY_NAME if most is None else worst_first()
    rows = await connection.execute(statement.order_by(*order).limit(most or MOST_ROWS))
    standing = [SiteRow(*row) for row in rows]
    d = device_activity.c
    last = select(d.site, func.max(d.last_push_at).label("at")).group_by(d.site)
    pushes = await connection.execute(last.where(d.site.in_([each.site for each in standing])))
    pushed = {row.site: row.at for row in pushes}
    return [_site_health(each, pushed.get(each.site), now) for each in standing]


def _site_health(row: SiteRow, last_push_at: datetime | None, now: datetime) -> SiteHealth:
    through = row.complete_through
    return SiteHealth(
        site=row.site,
        name=row.name,
        state=row.state,
        error=row.error,
        last_push_at=last_push_at,
        changed_at=row.changed_at,
        complete_through=through,
        complete_age_seconds=None if through is None else max(0.0, (now - through).total_seconds()),
        lag_seconds=row.lag_seconds,
        devices_outstanding=row.devices_outstanding,
        documents_outstanding=row.documents_outstanding,
        quarantined=row.quarantined,
        conflicts=row.conflicts,
    )

"""How many participants and visits there are, by study and by week, in one look at each table.

Both are counted first by what an index has together (study, state, day); studies and weeks are summed up from
these few numbers. The week of a day is found out once for a day, not once for each of its visits.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import CompoundSelect, Date, Select, Text, cast, func, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.scope import Scope, within
from reporting.tables import participants, sites, visits
from reporting.visits.statements import days


class Tallies(msgspec.Struct, frozen=True):
    """Of a scope. Numbers by (study, status), (study, state) or week (its Monday)."""

    people: Counter[tuple[str, str]]
    enrolled: Counter[date]
    """Who was enrolled in that week, whatever they are now. What was before the first week is in it."""
    visits: Counter[tuple[str, str]]
    completed: Counter[date]
    """Likewise."""
    overdue: Counter[str]
    """Visits, by study."""


async def read_tallies(
    connection: AsyncConnection, scope: Scope, today: Mapping[str, date], first_week: date
) -> Tallies:
    """`today` by timezone, with UTC."""
    people, enrolled = await _counted(connection, select_tallies(_select_people(scope), first_week))
    of_state, completed = await _counted(connection, select_of_visits(scope, first_week))
    overdue = await connection.execute(select_overdue(scope, today))
    return Tallies(people, enrolled, of_state, completed, Counter({row.study: row.number for row in overdue}))


def _select_people(scope: Scope) -> Select[Any]:
    p = participants.c
    columns = (p.study, p.status.label("state"), p.enrolled_on.label("day"))
    return _select_by(columns).where(within(scope, study=p.study, site=p.site))


def select_of_visits(scope: Scope, first_week: date) -> CompoundSelect[Any]:
    """Statement: numbers of visits, see `select_tallies`; the day is the one on which they were completed."""
    v = visits.c
    columns = (v.study, v.state, v.completed_on.label("day"))
    by_day = _select_by(columns).where(within(scope, study=v.study, site=v.site))
    return select_tallies(by_day, first_week)


def _select_by(columns: tuple[Any, ...]) -> Select[Any]:
    return select(*columns, func.count().label("number")).group_by(*columns)


def select_tallies(by_day: Select[Any], first_week: date) -> CompoundSelect[Any]:
    """Statement: (study, state, null, number), then (null, null, week, number)."""
    t = by_day.cte("by_day").c
    week = func.greatest(cast(func.date_trunc("week", t.day), Date), first_week)
    number = func.sum(t.number)
    return union_all(
        select(t.study, t.state, cast(null(), Date).label("week"), number).group_by(t.study, t.state),
        select(cast(null(), Text), cast(null(), Text), week, number).where(t.day.is_not(None)).group_by(week),
    )


async def _counted(
    connection: AsyncConnection, statement: CompoundSelect[Any]
) -> tuple[Counter[tuple[str, str]], Counter[date]]:
    of_state: Counter[tuple[str, str]] = Counter()
    of_week: Counter[date] = Counter()
    for study, state, week, number in await connection.execute(statement):
        if week is None:
            of_state[study, state] = int(number)
        else:
            of_week[week] = int(number)
    return of_state, of_week


def select_overdue(scope: Scope, today: Mapping[str, date]) -> Select[Any]:
    """Statement: (study, number) of overdue visits."""
    v, day = visits.c, days(today)
    return (
        select(v.study, func.count().label("number"))
        .select_from(visits.outerjoin(sites, sites.c.code == v.site))
        .join(day, day.c.timezone == func.coalesce(sites.c.timezone, "UTC"))
        .where(
            v.state == "due",
            # Once more without the timezone: for the index of open visits.
            v.due_on < max(today.values()),
            v.due_on < day.c.today,
            within(scope, study=v.study, site=v.site),
        )
        .group_by(v.study)
    )

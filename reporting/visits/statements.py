"""The SQL of visits, as statements that the API (asyncio) and the projector (psycopg) execute alike.

`BEGAN` is the one rule of when a session began: by its corrected clock where that was wrong, and unknown
where the clock was unset.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, Final, TypeVar
from zlib import crc32

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Date,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    any_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from reporting.quality.clock import FIRST_TABLETS
from reporting.tables import participants, sessions, sites, visit_definitions, visits
from reporting.visits.schedule import Visit

T = TypeVar("T")

BEGAN: Final[ColumnElement[datetime | None]] = func.coalesce(
    sessions.c.started_at_corrected,
    case((sessions.c.started_at >= FIRST_TABLETS, sessions.c.started_at)),
)

_LOCKS: Final = 0x76697369
"""The space of these locks among those of the database."""
_BUCKETS: Final = 1024
"""So many at most does a transaction hold, whatever it is about: Postgres has room for some thousands."""


def pages(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values, so many together."""
    rest = iter(values)
    while page := list(islice(rest, size)):
        yield page


def bucket(study: str, participant: str) -> int:
    """The lock that everything about a participant's visits takes first."""
    return crc32(f"{study}/{participant}".encode("utf-8", "replace")) % _BUCKETS


def lock_participants(people: Iterable[tuple[str, str]]) -> Select[Any]:
    """Statement: one transaction at a time about the visits of these (study, participant).

    In one order, so that two that want the same never wait for each other in a circle.
    """
    wanted = sorted({bucket(*each) for each in people})
    each = func.unnest(_array(wanted, Integer())).column_valued("bucket")
    return select(func.pg_advisory_xact_lock(_LOCKS, each))


def select_codes(study: str) -> Select[str]:
    """Statement: all participants of a study."""
    return select(participants.c.code).where(participants.c.study == study).order_by(participants.c.code)


def select_people_at(site: str) -> Select[str, str]:
    """Statement: (study, participant) of all participants at a site."""
    p = participants.c
    return select(p.study, p.code).where(p.site == site).order_by(p.study, p.code)


def select_definitions(study: str) -> Select[Any]:
    """Statement: (code, anchor, offset, before, after, retired), in their order."""
    d = visit_definitions.c
    columns = (d.code, d.anchor, d.offset_days, d.window_before_days, d.window_after_days, d.retired)
    return select(*columns).where(d.study == study).order_by(d.position, d.code)


def select_planned_studies(studies: Sequence[str]) -> Select[str]:
    """Statement: those of the studies that have a definition."""
    d = visit_definitions.c
    return select(d.study).distinct().where(d.study == any_(_array(studies, Text()))).order_by(d.study)


def select_people(study: str, codes: Sequence[str]) -> Select[Any]:
    """Statement: the fields of Person."""
    p = participants.c
    return (
        select(p.code, p.status, p.enrolled_on, p.site, func.coalesce(sites.c.timezone, "UTC"))
        .select_from(participants.outerjoin(sites, sites.c.code == p.site))
        .where(p.study == study, p.code == any_(_array(codes, Text())))
        .order_by(p.code)
    )


def select_sittings(study: str, codes: Sequence[str]) -> Select[Any]:
    """Statement: (participant, visit, site, session, began, sessions): the first completed session of each
    visit, and how many there are.
    """
    s = sessions.c
    of_visit = [s.participant, s.visit]
    in_order: list[ColumnElement[Any]] = [BEGAN.asc().nulls_last(), s.site.collate("C"), s.id.collate("C")]
    ranked = (
        select(
            *of_visit,
            s.site,
            s.id,
            BEGAN.label("began"),
            func.count().over(partition_by=of_visit).label("sessions"),
            func.row_number().over(partition_by=of_visit, order_by=in_order).label("rank"),
        )
        .where(
            s.study == study,
            s.participant == any_(_array(codes, Text())),
            s.visit.is_not(None),
            s.status == "completed",
            s.source_missing_at.is_(None),
        )
        .subquery("ranked")
    )
    r = ranked.c
    return select(r.participant, r.visit, r.site, r.id, r.began, r.sessions).where(r.rank == 1)


def select_stored(study: str, codes: Sequence[str]) -> Select[Any]:
    """Statement: (participant, fields of Visit)."""
    v = visits.c
    return select(v.participant, *(visits.c[name] for name in Visit._fields)).where(
        v.study == study, v.participant == any_(_array(codes, Text()))
    )


_COMPUTED: Final = [name for name in Visit._fields if name not in ("code", "moved_to")]


def upsert_visits(study: str, wanted: Sequence[tuple[str, Visit]]) -> Insert:
    """Statement: these (participant, visit) as they are now; one parameter, however many."""
    rows = [{"participant": participant, **visit._asdict()} for participant, visit in wanted]
    names = ["participant", *Visit._fields]
    given = (
        func.jsonb_to_recordset(bindparam("rows", [_plain(row) for row in rows], JSONB))
        .table_valued(*(Column(name, visits.c[name].type) for name in names))
        .render_derived(name="given", with_types=True)
    )
    inserted = insert(visits).from_select(
        ["study", *names], select(literal(study), *(given.c[name] for name in names))
    )
    return inserted.on_conflict_do_update(
        index_elements=["study", "participant", "code"],
        set_={
            **{name: inserted.excluded[name] for name in _COMPUTED},
            "row_version": visits.c.row_version + 1,
            "updated_at": func.now(),
        },
    )


def select_timezones() -> Select[str]:
    """Statement: the timezones of all sites."""
    return select(sites.c.timezone).distinct()


def days(today: Mapping[str, date]) -> Subquery:
    """(timezone, today), for joining: which day it is there. Postgres has other timezones than we have."""
    zones = sorted(today)
    each = (
        func.unnest(_array(zones, Text()), _array([today[zone] for zone in zones], Date()))
        .table_valued(Column("timezone", Text), Column("today", Date))
        .render_derived(name="each_zone")
    )
    return select(each.c.timezone, each.c.today).subquery("days")


def select_behind(today: Mapping[str, date], limit: int) -> Select[str, str]:
    """Statement: (study, participant) of visits whose day has come: planned ones whose window has begun, open
    ones whose window is over. `today` by timezone, with UTC.
    """
    v, zones = visits.c, days(today)
    day = zones.c
    last = max(today.values())
    begun = and_(v.state == "planned", v.window_from <= last, v.window_from <= day.today)
    over = and_(v.state.in_(["planned", "due"]), v.window_to < last, v.window_to < day.today)
    return (
        select(v.study, v.participant)
        .distinct()
        .select_from(
            visits.outerjoin(sites, sites.c.code == v.site).join(
                zones, day.timezone == func.coalesce(sites.c.timezone, "UTC")
            )
        )
        .where(or_(begun, over))
        .order_by(v.study, v.participant)
        .limit(limit)
    )


def _array(values: Sequence[Any], type_: Any) -> ColumnElement[Any]:
    return literal(list(values), ARRAY(type_))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, date) else value  # a datetime is a date, too
        for name, value in row.items()
    }

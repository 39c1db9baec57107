"""The inner layer: sessions, participants and visits that an audience may see, de-identified.

Of these three everything else hangs. For logins they are views of the schema `research_rows`, fenced by the
grants of `current_user`; for the service they are subqueries of one study, which Postgres flattens, so that
conditions on them reach the tables' indexes.

Beside what is shown they have `key_…` columns, raw: other tables are joined by them, and pages ordered. No
dataset shows them. `identified` says whether the row is shown as it is.

| a session | is |
|---|---|
| whose document is gone from the site database | not among them |
| of a study without a policy of de-identification | there, codes and dates missing |
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Double, FromClause, Select, cast, column, func, select, table

from reporting.research.audience import Audience, Wanted
from reporting.research.deidentification import Shown, granted, local_day
from reporting.tables import participants, sessions, visits

SCHEMA: Final = "research_rows"


def session_rows(audience: Audience, wanted: Wanted | None = None) -> Select[Any]:
    """Sessions: `key_session`, `key_participant` and `key_started_at` are raw. `wanted` None: for logins."""
    r, e = sessions.alias("r"), participants.alias("e")
    joined = r.outerjoin(e, (e.c.study == r.c.study) & (e.c.code == r.c.participant))
    shown = Shown(audience, r, of=r.c.participant, join=joined)
    shown.add_keys(
        session_id=("session", r.c.site, r.c.id),
        device_id=("device", r.c.site, r.c.device_id),
        rev=("rev", r.c.site, r.c.rev),
    )
    started_at = func.coalesce(r.c.started_at_corrected, r.c.started_at)
    ended_at = func.coalesce(r.c.ended_at_corrected, r.c.ended_at)
    as_they_are = ("visit", "status", "language", "battery_id", "battery_version", "schema")
    of_tablet = ("device_model", "device_os", "app_version")
    of_clocks = ("utc_offset_minutes", "clock_offset_s", "received_at")
    statement = select(
        r.c.study,
        r.c.site,
        shown.participant(r.c.participant).label("participant"),
        shown.key("session_id").label("session_id"),
        *(r.c[name] for name in (*as_they_are, *of_tablet)),
        *(shown.clock(r.c[name]).label(name) for name in of_clocks),
        shown.date(started_at, moment=True).label("started_at"),
        shown.day(local_day(started_at, r.c.utc_offset_minutes), e.c.enrolled_on).label("started_day"),
        shown.date(ended_at, moment=True).label("ended_at"),
        cast(func.extract("epoch", r.c.ended_at - r.c.started_at), Double).label("duration_s"),
        shown.key("rev").label("rev"),
        shown.key("device_id").label("device_id"),
        shown.identified.label("identified"),
        r.c.id.label("key_session"),
        r.c.participant.label("key_participant"),
        started_at.label("key_started_at"),
    ).select_from(shown.source)
    return statement.where(r.c.source_missing_at.is_(None), *_fence(r, wanted))


def participant_rows(audience: Audience, wanted: Wanted | None = None) -> Select[Any]:
    """The roster: `key_participant` is raw."""
    r = participants.alias("r")
    shown = Shown(audience, r, of=r.c.code, join=r)
    return (
        select(
            r.c.study,
            shown.participant(r.c.code).label("participant"),
            r.c.site,
            r.c.status,
            r.c.language,
            shown.date(r.c.enrolled_on, moment=False).label("enrolled_on"),
            shown.withheld(r.c.redcap_id).label("redcap_id"),
            r.c.code.label("key_participant"),
        )
        .select_from(shown.source)
        .where(*_fence(r, wanted))
    )


def visit_rows(audience: Audience, wanted: Wanted | None = None) -> Select[Any]:
    """Planned visits: `key_participant` is raw; a visit's code is shown as it is."""
    r, e = visits.alias("r"), participants.alias("e")
    joined = r.outerjoin(e, (e.c.study == r.c.study) & (e.c.code == r.c.participant))
    shown = Shown(audience, r, of=r.c.participant, join=joined)
    shown.add_keys(session_id=("session", r.c.session_site, r.c.session_id))

    def of_day(name: str) -> ColumnElement[Any]:
        return shown.date(r.c[name], moment=False).label(name)

    return (
        select(
            r.c.study,
            r.c.site,
            shown.participant(r.c.participant).label("participant"),
            r.c.code.label("visit"),
            shown.state(r.c.state).label("state"),
            of_day("due_on"),
            shown.day(r.c.due_on, e.c.enrolled_on).label("due_day"),
            of_day("window_from"),
            of_day("window_to"),
            of_day("completed_on"),
            shown.day(r.c.completed_on, e.c.enrolled_on).label("completed_day"),
            r.c.in_window,
            r.c.session_count,
            r.c.session_site,
            shown.key("session_id").label("session_id"),
            r.c.moved_to.is_not(None).label("moved"),
            r.c.cancelled_cause,
            r.c.participant.label("key_participant"),
        )
        .select_from(shown.source)
        .where(*_fence(r, wanted))
    )


def _fence(rows: FromClause, wanted: Wanted | None) -> tuple[ColumnElement[bool], ...]:
    if wanted is None:
        return (granted(rows.c.study, rows.c.site),)
    if wanted.sites is None:
        return (rows.c.study == wanted.study,)
    return rows.c.study == wanted.study, rows.c.site.in_(wanted.sites)


ROWS: Final[Mapping[str, Callable[..., Select[Any]]]] = {
    "sessions": session_rows,
    "participants": participant_rows,
    "visits": visit_rows,
}
"""By the name of the view in `research_rows`."""


class Rows(NamedTuple):
    """The inner layer as the datasets select from it."""

    audience: Audience
    wanted: Wanted | None

    def of(self, name: str, alias: str = "s") -> FromClause:
        """`sessions`, `participants` or `visits` that the audience may see."""
        statement = ROWS[name](self.audience, self.wanted)
        if self.audience is not Audience.LOGIN:
            return statement.subquery(alias)
        columns = [column(each.name, each.type) for each in statement.selected_columns]
        return table(name, *columns, schema=SCHEMA).alias(alias)

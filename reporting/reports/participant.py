"""A participant's report: sessions, scores over time beside the study's sample, quality, visits.

What may be seen of them comes from the relations of the datasets, as in the research API: name and dates as
they are, or as the study's policy has them. Contacts are in none of them.

| dates are | sessions stand |
|---|---|
| as they are, or shifted | at their day |
| days since enrolment | at that day |
| neither known | one after the other, in their order |
"""

from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from reporting.reports.contents import (
    Occasion,
    ParticipantReport,
    ScoreCourse,
    SessionShown,
    SiteCompleteness,
    VisitShown,
)
from reporting.reports.counting import read_flags
from reporting.reports.measuring import course
from reporting.reports.naming import audience_of, find_code
from reporting.reports.provenance import read_heading, read_provenance
from reporting.reports.scope import NotThere, Reach
from reporting.reports.score_rows import SHOWN, read_samples
from reporting.research.audience import Wanted
from reporting.research.datasets import PROVENANCE, SESSIONS_WIDE
from reporting.research.relations import relation
from reporting.research.roster_datasets import PARTICIPANTS, VISITS
from reporting.research.samples import is_known
from reporting.research.statistics import SMALLEST_SAMPLE
from reporting.research.variables import Dataset
from reporting.tables import sessions, task_runs, visit_definitions


def read_participant_report(connection: Connection, reach: Reach, shown: str) -> ParticipantReport:
    """The report. `shown`: the name under which the caller sees the participant. Raises NotThere for a study
    or participant that nobody knows, or that is out of reach.
    """
    heading = read_heading(connection, reach.study)
    if heading is None:
        raise NotThere(f"There is no study {reach.study!r}.")
    code = find_code(connection, shown, reach)
    if code is None:
        raise NotThere(f"The study {reach.study!r} has no such participant in your sites.")
    person = connection.execute(_of(PARTICIPANTS, reach, code)).mappings().one_or_none()
    rows = connection.execute(_select_sessions(reach, code)).mappings().all()
    provenance = read_provenance(connection, reach, code)
    one: Any = person if person is not None else rows[-1]
    return ParticipantReport(
        study=heading,
        participant=one["participant"],
        site=one["site"],
        site_name=_site_name(provenance.standing, one["site"]),
        status=None if person is None else person["status"],
        language=one["language"],
        enrolled=None if person is None else person["enrolled_on"],
        sessions=tuple(_session(row) for row in rows),
        courses=_courses(connection, reach, rows, code),
        flags=read_flags(connection, reach, code),
        visits=_visits(connection, reach, code),
        least_sample=SMALLEST_SAMPLE,
        provenance=provenance,
    )


def _of(dataset: Dataset, reach: Reach, code: str) -> Select[Any]:
    """The rows of a dataset that are the participant's, with their raw keys."""
    made = relation(dataset, audience_of(reach), Wanted(reach.study, reach.sites)).subquery()
    return select(made).where(made.c.key_participant == code)


def _select_sessions(reach: Reach, code: str) -> Select[Any]:
    """Their sessions as in `sessions_wide`, by time, with `rev` and the number of task runs."""
    wide, origin = _of(SESSIONS_WIDE, reach, code).subquery(), _of(PROVENANCE, reach, code).subquery()
    s, r = sessions.c, task_runs.c
    runs = (
        select(func.count())
        .where(r.site == wide.c.key_site, r.session_id == wide.c.key_session)
        .correlate(wide)
        .scalar_subquery()
    )
    return (
        select(wide, origin.c.rev.label("rev"), runs.label("task_runs"))
        .join(
            origin,
            and_(origin.c.key_site == wide.c.key_site, origin.c.key_session == wide.c.key_session),
        )
        .join(sessions, and_(s.site == wide.c.key_site, s.id == wide.c.key_session))
        .order_by(func.coalesce(s.started_at_corrected, s.started_at), s.site, s.id)
    )


def _session(row: Any) -> SessionShown:
    at = row["started_at"]
    return SessionShown(
        site=row["site"],
        on=None if at is None else at.astimezone(UTC).date(),
        day=row["started_day"],
        visit=row["visit"],
        status=row["status"],
        task_runs=row["task_runs"],
        flags=row["flags_info"] + row["flags_warning"],
        serious=row["flags_serious"],
        rev=row["rev"] or "",
    )


def _courses(connection: Connection, reach: Reach, rows: Any, code: str) -> tuple[ScoreCourse, ...]:
    """Of every score of a task that the participant has done."""
    samples = {each.variable.name: each for each in read_samples(connection, reach)}
    courses = []
    for variable in SHOWN:
        done = [
            (number, row[variable.name])
            for number, row in enumerate(rows)
            if row[f"{variable.task}_scoring_version"] is not None
        ]
        if not done:
            continue
        occasions = [Occasion(number, value) for number, value in done if is_known(value)]
        undefined = len(done) - len(occasions)
        courses.append(course(variable, occasions, undefined, samples.get(variable.name), code))
    return tuple(courses)


def _visits(connection: Connection, reach: Reach, code: str) -> tuple[VisitShown, ...]:
    planned, d = _of(VISITS, reach, code).subquery(), visit_definitions.c
    v = planned.c
    found = connection.execute(
        select(
            v.visit,
            func.coalesce(d.title, "").label("title"),
            v.state,
            v.due_on.label("due"),
            v.due_day,
            v.completed_on.label("completed"),
            v.completed_day,
            v.in_window,
        )
        .outerjoin(visit_definitions, and_(d.study == v.study, d.code == v.visit))
        .order_by(d.position.nulls_last(), v.visit)
    )
    return tuple(VisitShown(*row) for row in found)


def _site_name(standing: tuple[SiteCompleteness, ...], site: str | None) -> str | None:
    return next((each.name for each in standing if each.site == site), None)

"""Which session measures a participant at a visit: one score each, chosen before anybody sees the value.

A participant may sit down twice for a visit, start a task again in the same session, or be on a tablet whose
session is flagged. Statistics need one value a participant and visit; whoever may choose it afterwards
chooses the better one. So the rule is fixed, and what it leaves out is counted.

| situation | the measurement |
|---|---|
| several sessions of a visit have the task | that which began first, by the corrected clock |
| that began in the same instant | the one of the lesser site, then session id |
| the task was done more than once in a session | the run of the lowest number, as in `sessions_wide` |
| the first session's trials define no score, or it is no number | missing: the second try is another one |
| in progress or abandoned | left out |
| a serious quality flag on the session, or on this task run | left out, unless it is asked for |
| a serious quality flag on another task of the session | counts: it says nothing about this one |
| the tablet named no visit | left out |
| the document is gone from the site database | not there at all |
| the sites of a participant's visits differ | one participant all the same |
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, Text, and_, any_, cast, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from reporting.quality import RULES
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import SESSIONS_WIDE
from reporting.research.samples import Pair, is_known
from reporting.research.sources import session_rows
from reporting.research.variables import Variable
from reporting.tables import quality_flags, scores, visit_definitions

SERIOUS: Final = tuple(sorted(code for code, rule in RULES.items() if rule.level == "serious"))

SCORES: Final[Mapping[str, Variable]] = {
    variable.name: variable for variable in SESSIONS_WIDE.variables if variable.score is not None
}
"""What there are statistics of, by the names of the columns of `sessions_wide`."""


class Measurement(NamedTuple):
    """A session that has the task, with its score: what `select_measurements` finds."""

    participant: str
    visit: str | None
    site: str
    session: str
    started_at: datetime
    completed: bool
    flagged: bool
    value: float | None
    scoring_version: int


class LeftOut(msgspec.Struct, frozen=True):
    """How many sessions that have the task count for nothing; each once, by the first reason that holds."""

    not_completed: int
    without_visit: int
    flagged: int
    repeated: int
    """Another session of the participant's visit began before."""


class Sample(NamedTuple):
    """One measurement a participant and visit."""

    values: Mapping[str, Mapping[str, float | None]]
    """By visit, then by participant."""
    left_out: LeftOut
    scoring_versions: tuple[int, ...]
    """Of the definitions that the values were computed with. More than one: scores are being computed again,
    or could not be; the values are not of one kind.
    """

    def of_visit(self, visit: str) -> Sequence[float | None]:
        """The values of all who were measured at the visit."""
        return list(self.values.get(visit, {}).values())

    def has_value(self, visit: str) -> bool:
        """Whether anybody has one at the visit; to be measured is not enough."""
        return any(map(is_known, self.of_visit(visit)))

    def pairs(self, first: str, second: str) -> Sequence[Pair]:
        """Of all who were measured at both visits."""
        before, after = self.values.get(first, {}), self.values.get(second, {})
        return [(value, after[participant]) for participant, value in before.items() if participant in after]


def choose(measurements: Iterable[Measurement], *, include_flagged: bool = False) -> Sample:
    """By the rule of the module."""
    chosen: dict[tuple[str, str], Measurement] = {}
    not_completed = without_visit = flagged = repeated = 0
    for each in sorted(measurements, key=lambda each: (each.started_at, each.site, each.session)):
        if not each.completed:
            not_completed += 1
        elif each.visit is None:
            without_visit += 1
        elif each.flagged and not include_flagged:
            flagged += 1
        elif (each.visit, each.participant) in chosen:
            repeated += 1
        else:
            chosen[each.visit, each.participant] = each
    values: dict[str, dict[str, float | None]] = {}
    for (visit, participant), each in sorted(chosen.items()):
        values.setdefault(visit, {})[participant] = each.value if is_known(each.value) else None
    versions = sorted({each.scoring_version for each in chosen.values()})
    return Sample(values, LeftOut(not_completed, without_visit, flagged, repeated), tuple(versions))


def in_order(visits: Iterable[str], planned: Sequence[str]) -> list[str]:
    """As the study's schedule has them; those that it does not know come last, by name."""
    place = {visit: number for number, visit in enumerate(planned)}
    return sorted(visits, key=lambda visit: (place.get(visit, len(place)), visit))


def select_measurements(variables: Iterable[Variable], wanted: Wanted) -> Select[Any]:
    """Statement: rows of task, score and the fields of Measurement, score by score: all sessions that have
    the task.
    """
    session, flags = session_rows(Audience.IDENTIFIED, wanted).subquery("s"), select_serious().subquery("f")
    s, c, f = session.c, scores.c, flags.c
    key = c.task, c.name, s.site, s.key_session
    return (
        select(
            c.task,
            c.name,
            s.key_participant,
            s.visit,
            s.site,
            s.key_session,
            s.started_at,
            s.status == "completed",
            func.coalesce(or_(f.on_session, task_run(c) == any_(f.on_runs)), False),
            c.value,
            c.scoring_version,
        )
        .select_from(
            session.join(scores, and_(c.site == s.site, c.session_id == s.key_session)).outerjoin(
                flags, and_(f.site == s.site, f.session_id == s.key_session)
            )
        )
        .where(tuple_(c.task, c.name).in_([(each.task, each.score) for each in variables]))
        .ext(distinct_on(*key))
        .order_by(*key, c.run)
    )


def select_serious() -> Select[Any]:
    """Statement: sessions with serious flags, a row each: whether one is on the session, and on which runs.

    Not asked for each score: of a large study that is a million times.
    """
    q = quality_flags.c
    return (
        select(
            q.site,
            q.session_id,
            func.bool_or(q.task.is_(None)).label("on_session"),
            func.array_agg(task_run(q), type_=ARRAY(Text)).filter(q.task.is_not(None)).label("on_runs"),
        )
        .where(q.code.in_(SERIOUS))
        .group_by(q.site, q.session_id)
    )


def task_run(columns: Any) -> ColumnElement[str]:
    """A task run of a session as one text."""
    run: ColumnElement[str] = columns.task.op("||", return_type=Text())("/").op("||", return_type=Text())(
        cast(columns.run, Text)
    )
    return run


def select_counts(wanted: Wanted) -> Select[Any]:
    """Statement: (task, score, visit, participants) of completed sessions, whatever their flags."""
    s, c = session_rows(Audience.IDENTIFIED, wanted).subquery("s").c, scores.c
    return (
        select(c.task, c.name, s.visit, func.count(s.key_participant.distinct()))
        .where(c.site == s.site, c.session_id == s.key_session)
        .where(s.status == "completed", s.visit.is_not(None), c.value.is_not(None))
        .group_by(c.task, c.name, s.visit)
    )


def select_has_no_more(wanted: Wanted, most: int) -> Select[Any]:
    """Statement: whether there are no more than so many sessions; more than one above are not read."""
    s = session_rows(Audience.IDENTIFIED, wanted).subquery("s").c
    read = select(s.key_session).limit(most + 1).subquery("read")
    return select(func.count() <= most).select_from(read)


def select_participant(shown: str, audience: Audience, wanted: Wanted) -> Select[Any]:
    """Statement: the code of whom the audience sees under this name, if they have a session."""
    s = session_rows(audience, wanted).subquery("s").c
    return select(s.key_participant).where(s.participant == shown).limit(1)


def select_planned_visits(study: str) -> Select[Any]:
    """Statement: the codes of the study's visits, in its order."""
    v = visit_definitions.c
    return select(v.code).where(v.study == study).order_by(v.position, v.code)

"""The SELECT of each dataset, made from the list of its variables: one source for views, queries and exports.

    relation(TRIALS, Audience.DEIDENTIFIED, Wanted("memory"))   what the service asks
    relation(TRIALS, Audience.LOGIN)                            what becomes the view `research.trials`

A relation has the variables of its dataset, in their order; for the service then the columns of
`sort_key`, raw, by which rows are ordered, filtered and paged, and which nobody is shown. Conditions belong
around it: Postgres flattens it, so that those on keys reach the indexes, and what is not asked for is not
computed (`extra` is not joined, scores are not pivoted, nothing is hashed).

A variable that has no expression here is an error when a relation is made, not an empty column.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    case,
    func,
    literal_column,
    select,
)

from reporting.quality import RULES
from reporting.quality.registry import Level, Subject
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import SESSIONS_WIDE
from reporting.research.deidentification import fixed, judged, members, seen_or
from reporting.research.sources import Rows
from reporting.research.variables import Dataset, Variable
from reporting.tables import conflicts, corrections, losing_revisions, quality_flags, scores, trials

Expressions = Mapping[str, ColumnElement[Any]]
_ON: Final[ColumnElement[Any]] = literal_column("true")

OF_SESSIONS: Final = ("sessions_wide", "scores_long", "trials", "quality", "provenance")
"""Datasets that hang on sessions."""

_OF_SESSION: Final = ("key_started_at", "key_shown_at")
"""When the session began, raw and as it is shown: not every dataset has it, all are filtered by it."""

_WITHIN_SESSION: Final[Mapping[str, tuple[str, ...]]] = {
    "scores_long": ("task", "run", "score"),
    "trials": ("task", "run", "trial_index"),
    "quality": ("task", "run", "trial_index", "code"),
}


def sort_key(dataset: Dataset) -> tuple[str, ...]:
    """Columns of the service's relation that together are there once, and never missing.

    People come in the order of what they are shown as: codes are numbers often, and in their order a
    pseudonym's place would be its code.
    """
    if dataset.name == "participants":
        return ("key_shown_as", "key_participant")
    if dataset.name == "visits":
        return ("key_shown_as", "key_participant", "key_visit")
    return ("key_site", "key_session", *(f"key_{name}" for name in _WITHIN_SESSION.get(dataset.name, ())))


def relation(dataset: Dataset, audience: Audience, wanted: Wanted | None = None) -> Select[Any]:
    """The dataset's rows, in no order; `wanted` is needed but for `LOGIN`."""
    if (audience is Audience.LOGIN) != (wanted is None):
        raise TypeError("the service asks for a study, a login for what it has grants for")
    expressions, source = _MADE[dataset.name](Rows(audience, wanted))
    columns = [expressions[variable.name].label(variable.name) for variable in dataset.variables]
    if audience is not Audience.LOGIN:
        more = ("key_participant", *(_OF_SESSION if dataset.name in OF_SESSIONS else ()))
        keys = (*sort_key(dataset), *more)
        columns += [expressions[name].label(name) for name in dict.fromkeys(keys)]
    return select(*columns).select_from(source)


def shown_as(audience: Audience, people: FromClause) -> ColumnElement[Any]:
    """What a participant is shown as, never missing."""
    found: ColumnElement[Any] = people.c.participant
    return found if audience is Audience.IDENTIFIED else func.coalesce(found, fixed(""), type_=Text)


def level_of(code: ColumnElement[Any]) -> ColumnElement[Any]:
    """How serious a flag is; one of a rule that there is no more counts as `warning`."""
    by_level = [
        (code.in_([fixed(name) for name, rule in RULES.items() if rule.level is level]), fixed(level.value))
        for level in Level
    ]
    return case(*by_level, else_=fixed(Level.WARNING.value))


def _sessions_wide(rows: Rows) -> tuple[Expressions, FromClause]:
    s = rows.of("sessions")
    flags, pivoted = _flag_counts(s), _pivoted_scores(s, SESSIONS_WIDE.variables)
    source = s.join(flags, _ON).join(pivoted, _ON)
    more = {"conflicts_open": _conflicts(s, is_open=True)}
    return {**_shown(s), **_by_name(flags), **_by_name(pivoted), **more}, source


def _scores_long(rows: Rows) -> tuple[Expressions, FromClause]:
    s, t = rows.of("sessions"), scores.alias("t")
    own = {**_by_name(t), "score": t.c.name}
    return {**own, **_shown(s), **_keys("scores_long", own)}, _joined(s, t)


def _trials(rows: Rows) -> tuple[Expressions, FromClause]:
    s, t = rows.of("sessions"), trials.alias("t")
    seen = s.c.identified
    own = {
        **_by_name(t),
        "response": seen_or(rows.audience, seen, t.c.response, judged(t.c.response, t.c.correct)),
        "extra": seen_or(rows.audience, seen, t.c.extra, members(t.c.extra)),
    }
    return {**own, **_shown(s), **_keys("trials", own)}, _joined(s, t)


def _quality(rows: Rows) -> tuple[Expressions, FromClause]:
    s, t = rows.of("sessions"), quality_flags.alias("t")
    subject = case(
        (t.c.task.is_(None), fixed(Subject.SESSION.value)),
        (t.c.trial_index.is_(None), fixed(Subject.TASK_RUN.value)),
        else_=fixed(Subject.TRIAL.value),
    )
    own = {
        **_by_name(t),
        "subject": subject,
        "level": level_of(t.c.code),
        "detail": seen_or(rows.audience, s.c.identified, t.c.detail, _nothing(t.c.detail)),
    }
    keys = {
        "key_task": func.coalesce(t.c.task, fixed(""), type_=Text),
        "key_run": func.coalesce(t.c.run, literal_column("-1"), type_=Integer),
        "key_trial_index": func.coalesce(t.c.trial_index, literal_column("-2147483648"), type_=Integer),
        "key_code": t.c.code,
    }
    return {**own, **_shown(s), **keys}, _joined(s, t)


def _provenance(rows: Rows) -> tuple[Expressions, FromClause]:
    s = rows.of("sessions")
    losing, made = losing_revisions.alias("t"), corrections.alias("t")
    counts = {
        "losing_revisions": select(func.count())
        .where(losing.c.site == s.c.site, losing.c.doc_id == fixed("session:").op("||")(s.c.key_session))
        .correlate(s)
        .scalar_subquery(),
        "corrections": _count(s, made, made.c.source_missing_at.is_(None), ~_is_outdated(made)),
        "conflicts_open": _conflicts(s, is_open=True),
        "conflicts_resolved": _conflicts(s, is_open=False),
    }
    return {**_shown(s), **counts}, s


def _participants(rows: Rows) -> tuple[Expressions, FromClause]:
    p, s, v = rows.of("participants", "p"), rows.of("sessions"), rows.of("visits", "v")
    own_sessions = (s.c.study == p.c.study, s.c.key_participant == p.c.key_participant)
    of_sessions = (
        select(
            func.count().label("sessions"),
            func.count().filter(s.c.status == fixed("completed")).label("sessions_completed"),
        )
        .where(*own_sessions)
        .correlate(p)
        .lateral("n")
    )
    of_visits = (
        select(func.count())
        .where(
            v.c.study == p.c.study,
            v.c.key_participant == p.c.key_participant,
            v.c.state == fixed("completed"),
        )
        .correlate(p)
        .scalar_subquery()
    )
    own = {**_by_name(p), "key_shown_as": shown_as(rows.audience, p)}
    return {**own, **_by_name(of_sessions), "visits_completed": of_visits}, p.join(of_sessions, _ON)


def _visits(rows: Rows) -> tuple[Expressions, FromClause]:
    v = rows.of("visits", "v")
    return {**_by_name(v), "key_visit": v.c.visit, "key_shown_as": shown_as(rows.audience, v)}, v


_MADE: Final[Mapping[str, Callable[[Rows], tuple[Expressions, FromClause]]]] = {
    "sessions_wide": _sessions_wide,
    "scores_long": _scores_long,
    "trials": _trials,
    "participants": _participants,
    "visits": _visits,
    "quality": _quality,
    "provenance": _provenance,
}


def _by_name(rows: FromClause) -> dict[str, ColumnElement[Any]]:
    return {each.name: each for each in rows.c}


def _shown(s: FromClause) -> dict[str, ColumnElement[Any]]:
    """What a session shows: it hides what a table that hangs on it calls the same (`site`, `session_id`)."""
    return {**_by_name(s), "key_site": s.c.site, "key_shown_at": s.c.started_at}


def _keys(dataset: str, own: Expressions) -> dict[str, ColumnElement[Any]]:
    return {f"key_{name}": own[name] for name in _WITHIN_SESSION[dataset]}


def _joined(s: FromClause, t: FromClause) -> FromClause:
    return s.join(t, (t.c.site == s.c.site) & (t.c.session_id == s.c.key_session))


def _nothing(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return literal_column("NULL", column.type)


def _count(s: FromClause, t: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[Any]:
    """How many rows of a table hang on the session."""
    own = (t.c.site == s.c.site, t.c.session_id == s.c.key_session)
    return select(func.count()).where(*own, *conditions).correlate(s).scalar_subquery()


def _is_outdated(made: FromClause) -> ColumnElement[bool]:
    """Whether a correction was not applied, because what it corrects has changed since."""
    t = conflicts.alias("u")
    own = (t.c.site == made.c.site, t.c.session_id == made.c.session_id, t.c.correction == made.c.doc_id)
    # Not `SELECT *`: who owns the views may not read every column.
    outdated: Select[Any] = select(literal_column("1")).where(*own, t.c.state == fixed("outdated"))
    return outdated.correlate(made).exists()


def _conflicts(s: FromClause, *, is_open: bool) -> ColumnElement[Any]:
    t = conflicts.alias("t")
    resolved = fixed("resolved")
    return _count(s, t, t.c.state != resolved if is_open else t.c.state == resolved)


def _flag_counts(s: FromClause) -> FromClause:
    t = quality_flags.alias("t")
    counts = (
        func.count().filter(level_of(t.c.code) == fixed(level.value)).label(f"flags_{level.value}")
        for level in Level
    )
    own = (t.c.site == s.c.site, t.c.session_id == s.c.key_session)
    return select(*counts).where(*own).correlate(s).lateral("f")


def _pivoted_scores(s: FromClause, variables: tuple[Variable, ...]) -> FromClause:
    """A column a score: of the task's first run. The key of `scores` brings them in this order, unsorted."""
    t = scores.alias("t")
    nth = func.rank().over(partition_by=t.c.task, order_by=t.c.run)
    own = (t.c.site == s.c.site, t.c.session_id == s.c.key_session)
    each = (
        select(t.c.task, t.c.name, t.c.value, t.c.scoring_version, nth.label("nth"))
        .where(*own)
        .correlate(s)
        .subquery("e")
    )
    first = each.c.nth == literal_column("1")
    columns = []
    for variable in variables:
        if variable.task is None:
            continue
        where = [first, each.c.task == fixed(variable.task)]
        value = each.c.scoring_version
        if variable.score is not None:
            where.append(each.c.name == fixed(variable.score))
            value = each.c.value
        columns.append(func.max(value).filter(*where).label(variable.name))
    return select(*columns).correlate(s).lateral("w")

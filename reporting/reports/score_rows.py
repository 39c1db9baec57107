"""Scores as reports read them: the runs that count, by score.

Of a session that has a task more than once, the run of the lowest number counts, as in `sessions_wide`.
Only tasks with a definition are shown: what other tasks measure is not known here.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, and_, func, select

from reporting.reports.scope import Reach
from reporting.research.score_variables import score_variables
from reporting.research.variables import Unit, Variable
from reporting.scoring import DEFINITIONS
from reporting.tables import scores, sessions

SHOWN: Final[tuple[Variable, ...]] = tuple(
    variable
    for variable in score_variables()
    if variable.score is not None and variable.unit is not Unit.COUNT
)
"""The scores that reports show, in the order of the definitions."""

FETCHED_ROWS: Final = 5_000

Key = tuple[str, str]
"""Task and score."""


def key_of(variable: Variable) -> Key:
    """The score that a variable is."""
    assert variable.task is not None
    assert variable.score is not None
    return variable.task, variable.score


class Sample(NamedTuple):
    """What a study's participants have of one score."""

    firsts: list[float]
    pairs: list[tuple[float, float]]


NOBODY: Final = Sample([], [])


def read_samples(connection: Connection, reach: Reach) -> dict[Key, Sample]:
    """The sample of each score that anybody in reach has."""
    found = connection.execution_options(yield_per=FETCHED_ROWS).execute(_select_firsts(reach))
    return {
        key: Sample(
            [row.value for row in people if row.occasion == 1], list(_pairs([row for row in people]))
        )
        for key, rows in groupby(found, lambda row: (row.task, row.name))
        for people in [list(rows)]
    }


def _pairs(rows: list[Any]) -> Iterator[tuple[float, float]]:
    for before, after in zip(rows, rows[1:], strict=False):
        if after.occasion == 2:
            yield before.value, after.value


def _select_firsts(reach: Reach) -> Select[Any]:
    """The first two values of each participant and score, of completed sessions."""
    s, n = sessions.c, scores.c
    each = (
        select(
            n.task,
            n.name,
            n.value,
            s.participant,
            s.site,
            s.id,
            func.coalesce(s.started_at_corrected, s.started_at).label("at"),
            func.rank().over(partition_by=(s.site, s.id, n.task), order_by=n.run).label("nth_run"),
        )
        .join(scores, and_(n.site == s.site, n.session_id == s.id))
        .where(reach.holds_session(), s.status == "completed", n.task.in_(list(DEFINITIONS)))
        .subquery()
        .c
    )
    nth = func.row_number().over(
        partition_by=(each.task, each.name, each.participant), order_by=(each.at, each.site, each.id)
    )
    v = (
        select(each.task, each.name, each.value, each.participant, nth.label("occasion"))
        .where(each.nth_run == 1, each.value.is_not(None))
        .subquery()
        .c
    )
    return (
        select(v.task, v.name, v.value, v.occasion)
        .where(v.occasion <= 2)
        .order_by(v.task, v.name, v.participant, v.occasion)
    )

"""Scores as reports read them: the sample of each, by the one rule of which session counts.

That rule is `reporting.research.measurements`; `/api/research/statistics` answers by it too, so a report's
figures are those of the API. Only tasks with a definition are shown: what others measure is not known here.
"""

from itertools import groupby
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from reporting.reports.scope import Reach
from reporting.research.audience import Wanted
from reporting.research.measurements import (
    Measurement,
    Sample,
    choose,
    in_order,
    select_measurements,
    select_planned_visits,
)
from reporting.research.score_variables import score_variables
from reporting.research.variables import Unit, Variable

SHOWN: Final[tuple[Variable, ...]] = tuple(
    variable
    for variable in score_variables()
    if variable.score is not None and variable.unit is not Unit.COUNT
)
"""The scores that reports show, in the order of the definitions."""

FETCHED_ROWS: Final = 5_000


class ScoreSample(NamedTuple):
    """What a study has of one score; `visits` at which anybody has it, in the order of the schedule."""

    variable: Variable
    sample: Sample
    visits: tuple[str, ...]

    @property
    def first_visit(self) -> str | None:
        """The visit that others are compared with."""
        return self.visits[0] if self.visits else None

    @property
    def two_visits(self) -> tuple[str, str] | None:
        """The first two that have the score."""
        return (self.visits[0], self.visits[1]) if len(self.visits) > 1 else None


def read_samples(connection: Connection, reach: Reach) -> tuple[ScoreSample, ...]:
    """The sample of each score of a task that anybody in reach has done."""
    wanted = Wanted(reach.study, reach.sites)
    planned = connection.scalars(select_planned_visits(reach.study)).all()
    # All rows are read: a plan for the first of them, as cursors get, takes many times as long.
    connection.scalar(select(func.set_config("cursor_tuple_fraction", "1", True)))
    rows = connection.execute(select_measurements(SHOWN, wanted).execution_options(yield_per=FETCHED_ROWS))
    samples = {}
    for key, of_score in groupby(rows, lambda row: (row[0], row[1])):
        sample = choose(Measurement(*row[2:]) for row in of_score)
        visits = in_order(filter(sample.has_value, sample.values), planned)
        samples[key] = sample, tuple(visits)
    return tuple(
        ScoreSample(variable, *samples[key])
        for variable in SHOWN
        if (key := (variable.task, variable.score)) in samples
    )

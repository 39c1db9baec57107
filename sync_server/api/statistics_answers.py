"""What `/api/research/statistics` answers, and how it is made of what Postgres sums up."""

from typing import Any

import msgspec

from reporting.research.correlations import Correlation
from reporting.research.measurements import LeftOut
from reporting.research.retest import Change, Standing
from reporting.research.standing import SiteStanding
from reporting.research.statistics import Description, PracticeEffect


class ScoreTold(msgspec.Struct, frozen=True):
    """A score. `name` is its column in `sessions_wide`; `participants` have a value, by visit."""

    name: str
    task: str
    score: str
    label: str
    unit: str | None
    participants: dict[str, int]


class Scores(msgspec.Struct, frozen=True):
    """All that a study has statistics of; `visits` in the order of its schedule.

    Where it is not `counted`, participants are of no visit, and `visits` are those that are planned.
    """

    study: str
    sites: list[SiteStanding]
    visits: list[str]
    scores: list[ScoreTold]
    counted: bool


class SampleTold(msgspec.Struct, frozen=True):
    """What a sample was made of. `sites`: whose sessions, and through when they are complete."""

    study: str
    sites: list[SiteStanding]
    score: str
    label: str
    unit: str | None
    include_flagged: bool
    scoring_versions: list[int]
    left_out: LeftOut
    smallest_sample: int


class VisitTold(Description, frozen=True):
    """A visit's measurements in numbers: one a participant. `bins`: how many are in each."""

    visit: str
    bins: list[int]


class Descriptions(msgspec.Struct, frozen=True):
    """By visit, in the order of the study's schedule. `edges`: of the bins, of all visits the same."""

    sample: SampleTold
    visits: list[VisitTold]
    edges: list[float]


class Grid(msgspec.Struct, frozen=True):
    """Where pairs lie: `cells` of first and second value, numbered from 0 (`low`) to what was asked for
    (`high`).
    """

    low: float
    high: float
    cells: list[tuple[int, int]]


class RetestTold(msgspec.Struct, frozen=True):
    """Changes are second minus first. `pairs`: by first value, and only where they were asked for; likewise
    `grid`, which is null where there are none.
    """

    sample: SampleTold
    first: str
    second: str
    practice_effect: PracticeEffect
    pearson: Correlation
    icc: Correlation
    pairs: list[tuple[float, float]] | None
    grid: Grid | None


class ParticipantTold(msgspec.Struct, frozen=True):
    """Where they stand at every visit at which they were measured, and how they have changed."""

    sample: SampleTold
    participant: str
    visits: list[Standing]
    change: Change | None
    """Null: no visits are named, and the study has not two with the score."""


def visit_told(row: Any, bins: int) -> VisitTold:
    """A row of `select_descriptions`."""
    lower, median, upper = row.quartiles or (None, None, None)
    counts = [0] * (bins if row.edges else 0)
    for bucket, people in zip(row.buckets or (), row.people or (), strict=True):
        counts[bucket - 1] = people
    missing = row.total - row.n
    return VisitTold(
        n=row.n,
        missing=missing,
        mean=row.mean,
        sd=row.sd,
        median=median,
        lower_quartile=lower,
        upper_quartile=upper,
        visit=row.visit,
        bins=counts,
    )


def grid_told(row: Any, cells: int) -> Grid | None:
    """Of a row of `select_moments`; None where nobody is on it."""
    if not cells or row.cells is None:
        return None
    places = [divmod(cell, cells + 1) for cell in sorted(row.cells)]
    return Grid(row.low, row.high, places)

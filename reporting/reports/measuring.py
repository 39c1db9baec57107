"""Scores of a sample, and of a person beside it, as reports show them.

| sample | shown |
|---|---|
| fewer than `SMALLEST_SAMPLE` at the visit | n; no median, no quartiles, no percentile, no histogram |
| fewer pairs than that | no change, no reliability: its error would be a guess |
"""

from collections.abc import Sequence
from typing import Final

from reporting.reports.contents import Distribution, Occasion, ScoreCourse
from reporting.reports.score_rows import ScoreSample
from reporting.research.measurements import LeftOut, Sample
from reporting.research.retest import Retest, change_of, retest_of, standing_of
from reporting.research.statistics import SMALLEST_SAMPLE, Description, describe
from reporting.research.variables import Unit, Variable

MOST_BINS: Final = 24

NOBODY: Final = Sample({}, LeftOut(0, 0, 0, 0), ())


def course(
    variable: Variable,
    occasions: Sequence[Occasion],
    undefined: int,
    measured: ScoreSample | None,
    participant: str,
) -> ScoreCourse:
    """One score of a participant (by their code), `occasions` in order of time, beside the sample."""
    measured = measured or ScoreSample(variable, NOBODY, ())
    sample, first = measured.sample, measured.first_visit
    visits = [visit for visit in measured.visits if sample.values[visit].get(participant) is not None]
    return ScoreCourse(
        variable=variable,
        occasions=tuple(occasions),
        undefined=undefined,
        sample_visit=first,
        sample=suppressed(describe(sample.of_visit(first) if first else ())),
        standing=standing_of(sample, participant, visits[-1]) if visits else None,
        change=change_of(sample, participant, *measured.two_visits) if measured.two_visits else None,
    )


def suppressed(sample: Description) -> Description:
    """The description with its n alone where that is under the least number."""
    if sample.n >= SMALLEST_SAMPLE:
        return sample
    return Description(sample.n, sample.missing, None, None, None, None, None)


def distribution(measured: ScoreSample) -> Distribution:
    """The sample of a score at its first visit in bins of equal width, after Freedman & Diaconis (1981)."""
    variable, visit = measured.variable, measured.first_visit
    values = [value for value in measured.sample.of_visit(visit or "") if value is not None]
    sample = describe(values)
    if sample.n < SMALLEST_SAMPLE:
        return Distribution(variable, visit, suppressed(sample), (), 0.0, 0.0)
    low, high = min(values), max(values)
    if low == high:
        return Distribution(variable, visit, sample, (len(values),), low, high)
    number = _number_of_bins(sample, low, high)
    is_whole = variable.unit is Unit.DIGITS and all(value.is_integer() for value in values)
    if is_whole and high - low < MOST_BINS:
        # Whole numbers get a bin each, in its middle.
        low, high = low - 0.5, high + 0.5
        number = round(high - low)
    bins = [0] * number
    for value in values:
        bins[min(int((value - low) / (high - low) * number), number - 1)] += 1
    return Distribution(variable, visit, sample, tuple(bins), low, high)


def _number_of_bins(sample: Description, low: float, high: float) -> int:
    spread = (sample.upper_quartile or 0.0) - (sample.lower_quartile or 0.0)
    width = 2 * spread / sample.n ** (1 / 3)
    return max(5, round(min(MOST_BINS, (high - low) / width))) if width > 0 else MOST_BINS // 2


def retest(measured: ScoreSample) -> Retest | None:
    """Reliability and practice from the first visit to the second; None: nobody was measured at a second."""
    return None if measured.two_visits is None else retest_of(measured.sample, *measured.two_visits)

"""Scores of a sample, and of a person beside it.

The sample of a score is each participant's first value: later ones hold practice. Its pairs are the first two
values of everybody who has two. Both are of completed sessions in the study and sites in reach.

| sample | shown |
|---|---|
| fewer than `SMALLEST_SAMPLE` | n; no median, no quartiles, no percentile, no histogram |
| fewer pairs than that | no reliable change: its error would be a guess |
| reliability not in [0, 1) | no reliable change |
"""

from collections.abc import Sequence
from typing import Final

from reporting.reports.contents import Distribution, Occasion, Retest, ScoreCourse
from reporting.research.statistics import (
    SMALLEST_SAMPLE,
    Description,
    Pair,
    describe,
    percentile,
    practice_effect,
    reliable_change,
    retest_reliability,
)
from reporting.research.variables import Unit, Variable

MOST_BINS: Final = 24


def course(
    variable: Variable,
    occasions: Sequence[Occasion],
    undefined: int,
    firsts: Sequence[float],
    pairs: Sequence[Pair],
) -> ScoreCourse:
    """One score of a participant; `occasions` in order of time."""
    sample = describe(firsts)
    practice = practice_effect(pairs)
    correlation = retest_reliability(pairs).pearson.value
    reliability = correlation if len(pairs) >= SMALLEST_SAMPLE else None
    change = None
    if len(occasions) > 1:
        change = reliable_change(
            occasions[0].value,
            occasions[-1].value,
            sd=describe([before for before, _ in pairs]).sd,
            reliability=reliability,
            practice=practice.mean_change or 0.0,
        )
    last = occasions[-1].value if occasions else None
    return ScoreCourse(
        variable=variable,
        occasions=tuple(occasions),
        undefined=undefined,
        sample=suppressed(sample),
        percentile=percentile(last, firsts).value,
        change=change,
        practice=practice,
        reliability=reliability,
    )


def suppressed(sample: Description) -> Description:
    """The description with its n alone where that is under the least number."""
    if sample.n >= SMALLEST_SAMPLE:
        return sample
    return Description(sample.n, sample.missing, None, None, None, None, None)


def distribution(variable: Variable, firsts: Sequence[float]) -> Distribution:
    """The sample of a score in bins of equal width, after Freedman & Diaconis (1981)."""
    sample = describe(firsts)
    if sample.n < SMALLEST_SAMPLE:
        return Distribution(variable, suppressed(sample), (), 0.0, 0.0)
    low, high = min(firsts), max(firsts)
    if low == high:
        return Distribution(variable, sample, (len(firsts),), low, high)
    number = _number_of_bins(variable, sample, low, high)
    if variable.unit in (Unit.DIGITS, Unit.COUNT) and high - low <= MOST_BINS:
        # Whole numbers get a bin each, in its middle.
        low, high = low - 0.5, high + 0.5
        number = round(high - low)
    bins = [0] * number
    for value in firsts:
        bins[min(int((value - low) / (high - low) * number), number - 1)] += 1
    return Distribution(variable, sample, tuple(bins), low, high)


def _number_of_bins(variable: Variable, sample: Description, low: float, high: float) -> int:
    assert sample.upper_quartile is not None
    assert sample.lower_quartile is not None
    width = 2 * (sample.upper_quartile - sample.lower_quartile) / sample.n ** (1 / 3)
    return max(5, min(MOST_BINS, round((high - low) / width))) if width > 0 else MOST_BINS // 2


def retest(variable: Variable, pairs: Sequence[Pair]) -> Retest:
    """Reliability and practice; a correlation of fewer pairs than the least number is not shown."""
    return Retest(variable, retest_reliability(pairs), practice_effect(pairs))

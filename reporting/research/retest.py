"""Where one participant stands in the study's own sample, and whether they have changed beyond its error.

The sample is everybody whom the study has measured at the visit, the participant included. Of few people
nothing is answered: the percentile of one of eight says little, and a reliability of eight pairs less.

| sample | answer |
|---|---|
| fewer than `SMALLEST_SAMPLE` measured at the visit | no percentile: `too few participants` |
| fewer than `SMALLEST_SAMPLE` with both values | no change: `too few participants` |
| the participant has no value | `no value` |
| reliability below 0 or of 1, or nobody differs | no change: `undefined` |
"""

from typing import Literal, NamedTuple

import msgspec

from reporting.research.correlations import (
    Correlation,
    MeanSquares,
    icc_of,
    pearson_of,
    retest_reliability,
)
from reporting.research.measurements import Sample
from reporting.research.samples import complete_pairs, sd_of
from reporting.research.statistics import (
    SMALLEST_SAMPLE,
    PracticeEffect,
    ReliableChange,
    effect_of,
    percentile,
    practice_effect,
    reliable_change,
)

WhyNot = Literal["too few participants", "no value", "undefined"]


class Standing(msgspec.Struct, frozen=True):
    """A participant's value at a visit, and its percentile among `n` values, or why there is none."""

    visit: str
    value: float | None
    n: int
    percentile: float | None
    why_not: WhyNot | None


class Change(msgspec.Struct, frozen=True):
    """From one visit to another, against `n` pairs of the sample; or why there is no answer.

    The error is that of Jacobson & Truax with each visit's own deviation, and the practice effect of the
    sample is not counted as change.
    """

    first: str
    second: str
    n: int
    reliability: float | None
    """Pearson's r of the sample."""
    practice: float | None
    """The sample's mean change, in the score's unit."""
    change: ReliableChange | None
    why_not: WhyNot | None


class Retest(msgspec.Struct, frozen=True):
    """What a score does from one visit to another, in those who were measured at both."""

    first: str
    second: str
    practice_effect: PracticeEffect
    pearson: Correlation
    icc: Correlation


class PairMoments(NamedTuple):
    """What `retest_of` needs of the pairs: `n` are complete of `total`; the mean squares in any unit.

    None: there are too few, or one visit's values (of the mean squares: all) are the same.
    """

    total: int
    n: int
    mean_change: float | None
    sd_change: float | None
    pearson: float | None
    participants: float | None
    occasions: float | None
    error: float | None


def standing_of(sample: Sample, participant: str, visit: str) -> Standing:
    """Of one visit."""
    value = sample.values.get(visit, {}).get(participant)
    found = percentile(value, sample.of_visit(visit))
    why_not: WhyNot | None = None
    if value is None:
        why_not = "no value"
    elif found.value is None:
        why_not = "too few participants"
    return Standing(visit, value, found.n, found.value, why_not)


def change_of(sample: Sample, participant: str, first: str, second: str) -> Change:
    """Between two visits."""
    before, after = (sample.values.get(visit, {}).get(participant) for visit in (first, second))
    pairs = sample.pairs(first, second)
    effect, correlation = practice_effect(pairs), retest_reliability(pairs).pearson
    if effect.n < SMALLEST_SAMPLE:
        return Change(first, second, effect.n, None, None, None, "too few participants")
    complete = complete_pairs(pairs)
    change = reliable_change(
        before,
        after,
        sd=sd_of(complete.first),
        sd_second=sd_of(complete.second),
        reliability=correlation.value,
        practice=effect.mean_change or 0.0,
    )
    why_not: WhyNot | None = None
    if before is None or after is None:
        why_not = "no value"
    elif change is None:
        why_not = "undefined"
    return Change(first, second, effect.n, correlation.value, effect.mean_change, change, why_not)


def retest_of(sample: Sample, first: str, second: str) -> Retest:
    """Between two visits."""
    pairs = sample.pairs(first, second)
    reliability = retest_reliability(pairs)
    return Retest(first, second, practice_effect(pairs), reliability.pearson, reliability.icc)


def retest_of_moments(found: PairMoments, first: str, second: str) -> Retest:
    """The same, of pairs that Postgres has summed up."""
    squares = None
    if found.participants is not None and found.occasions is not None and found.error is not None:
        squares = MeanSquares(found.participants, found.occasions, found.error)
    return Retest(
        first,
        second,
        effect_of(found.total, found.n, found.mean_change, found.sd_change),
        pearson_of(found.n, found.pearson),
        icc_of(found.n, 2, squares),
    )

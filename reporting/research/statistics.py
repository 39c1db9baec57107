"""Statistics of scores: has a person changed beyond chance, and where do they stand?

A tablet's median reaction time of 612 ms says little. What is asked is whether 612 after 660 is a change or
noise (reliable change), how much of it everybody shows who does a task twice (practice effect), and where
612 lies among the study's own participants (percentile); how reliable the score is, `correlations` says. All
are textbook formulas; their sources stand with them, and what a sample cannot define is None, never a number
that looks like one.

| sample | answer |
|---|---|
| None, NaN, infinite, or beyond ±1e100 (squares overflow) | missing: left out, counted; of pairs, the pair |
| empty | n = 0, everything else None |
| one value | no standard deviation, no interval |
| constant | standard deviation 0; no reliable change |
| everybody changed by the same | mean change, without an interval |
| ties | count half in a percentile; elsewhere nothing special |
"""

import math
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from reporting.research.f_distribution import t_quantile
from reporting.research.samples import (
    CONFIDENCE,
    Interval,
    Pair,
    complete_pairs,
    critical_value,
    known_values,
    mean_of,
    quantile_of,
    sd_of,
    upper_tail,
)

SMALLEST_SAMPLE: Final = 20
"""Of fewer participants no percentile is shown: one person would be worth more than five points of it."""


class Description(msgspec.Struct, frozen=True):
    """A sample in numbers, all but the counts in the unit of its values."""

    n: int
    missing: int
    mean: float | None
    sd: float | None
    """n - 1 in the denominator."""
    median: float | None
    lower_quartile: float | None
    upper_quartile: float | None


class Percentile(NamedTuple):
    """Where a value lies in a sample: 0 to 100; None where the sample is too small or there is no value."""

    n: int
    value: float | None


class ReliableChange(msgspec.Struct, frozen=True):
    """A change in units of the standard error of a difference, and what follows from it."""

    index: float
    standard_error: float
    """Of the difference, in the unit of the score."""
    verdict: Literal["rise", "fall", "within error"]
    """Of the value, not of the person: a reaction time that falls is an improvement."""


class PracticeEffect(msgspec.Struct, frozen=True):
    """What the second time differs from the first, in a sample; second minus first, in the score's unit."""

    n: int
    missing: int
    mean_change: float | None
    sd_change: float | None
    interval: Interval | None
    standardised: float | None
    """Cohen's d_z: mean change by its standard deviation."""
    verdict: Literal["rise", "fall", "none shown", "unknown"]
    """`none shown`: the interval holds 0; `unknown`: there is no interval."""


def describe(values: Iterable[float | None]) -> Description:
    """n, mean, standard deviation, median and quartiles.

    Quartiles are those of Hyndman & Fan (1996, Sample quantiles in statistical packages), type 7: what R,
    numpy and Excel's QUARTILE.INC answer.
    """
    total, known = known_values(values)
    return Description(
        len(known),
        total - len(known),
        mean_of(known) if known else None,
        sd_of(known),
        quantile_of(known, 0.5),
        quantile_of(known, 0.25),
        quantile_of(known, 0.75),
    )


def percentile(
    value: float | None, sample: Iterable[float | None], *, smallest_sample: int = SMALLEST_SAMPLE
) -> Percentile:
    """The share of the sample below `value`, in percent, ties by half.

    Crawford, Garthwaite & Slick (2009, On percentile norms in neuropsychology), their definition C. Whether
    the person is in the sample is the caller's choice; of a person in it, n counts them.
    """
    _, known = known_values(sample)
    n = len(known)
    if value is None or not math.isfinite(value) or n < max(smallest_sample, 1):
        return Percentile(n, None)
    below = sum(each < value for each in known)
    ties = sum(each == value for each in known)
    return Percentile(n, 100 * (below + ties / 2) / n)


def reliable_change(
    first: float | None,
    second: float | None,
    *,
    sd: float | None,
    reliability: float | None,
    sd_second: float | None = None,
    practice: float = 0.0,
    confidence: float = CONFIDENCE,
) -> ReliableChange | None:
    """Whether a person changed by more than the score's error explains; None where that is undefined.

    Jacobson & Truax (1991, Clinical significance): (second - first) / (sd √2 √(1 - reliability)), with `sd`
    and test–retest `reliability` of a sample's first visit. With `practice`, the mean change of a sample that
    nothing was done to, the change is counted from there (Chelune et al. 1993); with `sd_second` the error of
    the second visit is taken from its own deviation (Iverson 2001, Interpreting change on the WAIS-III).

    Undefined: a value missing, `sd` not above 0, `sd_second` below 0, `reliability` not in [0, 1). ValueError
    for a confidence outside (0, 1).
    """
    critical = critical_value(confidence)
    second_sd = sd if sd_second is None else sd_second
    numbers = first, second, sd, second_sd, reliability, practice
    _, known = known_values(numbers)
    if len(known) < len(numbers):
        return None
    before, after, sd_before, sd_after, r, expected = known
    if sd_before <= 0 or sd_after < 0 or not 0 <= r < 1:
        return None
    standard_error = math.sqrt((1 - r) * (sd_before * sd_before + sd_after * sd_after))
    if not standard_error:
        return None
    index = (after - before - expected) / standard_error
    if not math.isfinite(index):
        return None
    verdict: Literal["rise", "fall", "within error"] = "within error"
    if abs(index) > critical:
        verdict = "rise" if index > 0 else "fall"
    return ReliableChange(index, standard_error, verdict)


def practice_effect(pairs: Iterable[Pair], *, confidence: float = CONFIDENCE) -> PracticeEffect:
    """How the second visit differs from the first in a sample: a paired t interval (Student 1908).

    `standardised` is Cohen's d_z (Cohen 1988, Statistical power analysis, 2.3.5). A group that was treated in
    between shows both; only an untreated one shows practice.
    """
    total, first, second = complete_pairs(pairs)
    changes = [after - before for before, after in zip(first, second, strict=True)]
    mean = mean_of(changes) if changes else None
    return effect_of(total, len(changes), mean, sd_of(changes), confidence=confidence)


def effect_of(
    total: int, n: int, mean: float | None, sd: float | None, *, confidence: float = CONFIDENCE
) -> PracticeEffect:
    """`practice_effect` of `n` complete pairs of `total`, with mean and standard deviation of the change."""
    critical = upper_tail(confidence)
    if mean is None or not sd:
        return PracticeEffect(n, total - n, mean, sd, None, None, "unknown")
    half = t_quantile(critical, n - 1) * sd / math.sqrt(n)
    interval = Interval(mean - half, mean + half)
    verdict: Literal["rise", "fall", "none shown"] = "none shown"
    if interval.low > 0:
        verdict = "rise"
    elif interval.high < 0:
        verdict = "fall"
    return PracticeEffect(n, total - n, mean, sd, interval, mean / sd, verdict)

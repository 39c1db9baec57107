"""Statistics of scores: has a person changed beyond chance, where do they stand, how reliable is a score?

A tablet's median reaction time of 612 ms says little. What is asked is whether 612 after 660 is a change or
noise (reliable change), how much of it everybody shows who does a task twice (practice effect), and where
612 lies among the study's own participants (percentile). All are textbook formulas; their sources stand with
them, and what a sample cannot define is None, never a number that looks like one.

| sample | answer |
|---|---|
| None, NaN, infinite, or beyond ±1e100 (squares overflow) | missing: left out, counted; of pairs, the pair |
| empty | n = 0, everything else None |
| one value | no standard deviation, no interval |
| fewer than three pairs | no correlation: two points always lie on a line |
| three pairs | a Pearson correlation without interval (Fisher's z needs four) |
| constant | standard deviation 0; no correlation, no reliable change |
| everybody changed by the same | mean change, without an interval |
| ties | count half in a percentile; elsewhere nothing special |
| perfect agreement (r = ±1, ICC = 1) | the value, without an interval: its error cannot be estimated |
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

from reporting.research.f_distribution import f_quantile, t_quantile

CONFIDENCE: Final = 0.95
SMALLEST_SAMPLE: Final = 20
"""Of fewer participants no percentile is shown: one person would be worth more than five points of it."""

_LARGEST: Final = 1e100
_FEWEST_PAIRS: Final = 3

Pair = tuple[float | None, float | None]
"""The first and the second value of one participant."""


class Interval(NamedTuple):
    """A two-sided confidence interval, in the unit of what it is about."""

    low: float
    high: float


class Description(NamedTuple):
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


class Correlation(NamedTuple):
    """A coefficient with the number of complete pairs."""

    n: int
    value: float | None
    interval: Interval | None


class Reliability(NamedTuple):
    """Test–retest reliability: do people keep their order (`pearson`), and their values (`icc`)?"""

    pearson: Correlation
    icc: Correlation


class ReliableChange(NamedTuple):
    """A change in units of the standard error of a difference, and what follows from it."""

    index: float
    standard_error: float
    """Of the difference, in the unit of the score."""
    verdict: Literal["rise", "fall", "within error"]
    """Of the value, not of the person: a reaction time that falls is an improvement."""


class PracticeEffect(NamedTuple):
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
    total, known = _known(values)
    return Description(
        len(known),
        total - len(known),
        _mean(known) if known else None,
        _sd(known),
        _quantile(known, 0.5),
        _quantile(known, 0.25),
        _quantile(known, 0.75),
    )


def percentile(
    value: float | None, sample: Iterable[float | None], *, smallest_sample: int = SMALLEST_SAMPLE
) -> Percentile:
    """The share of the sample below `value`, in percent, ties by half.

    Crawford, Garthwaite & Slick (2009, On percentile norms in neuropsychology), their definition C. Whether
    the person is in the sample is the caller's choice; of a person in it, n counts them.
    """
    _, known = _known(sample)
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
    critical = _critical(confidence)
    second_sd = sd if sd_second is None else sd_second
    numbers = first, second, sd, second_sd, reliability, practice
    _, known = _known(numbers)
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
    critical = (1 + _checked(confidence)) / 2
    total, first, second = _complete(pairs)
    changes = [after - before for before, after in zip(first, second, strict=True)]
    n = len(changes)
    mean = _mean(changes) if changes else None
    sd = _sd(changes)
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


def retest_reliability(pairs: Iterable[Pair], *, confidence: float = CONFIDENCE) -> Reliability:
    """Both coefficients over the pairs that are complete."""
    complete = _complete(pairs)
    return Reliability(
        pearson(complete.first, complete.second, confidence=confidence),
        icc_2_1(list(zip(complete.first, complete.second, strict=True)), confidence=confidence),
    )


def pearson(
    first: Sequence[float | None], second: Sequence[float | None], *, confidence: float = CONFIDENCE
) -> Correlation:
    """The product-moment correlation with the interval of Fisher's z (Fisher 1921).

    ValueError for sequences of different length and a confidence outside (0, 1).
    """
    critical = _critical(confidence)
    _, x, y = _complete(zip(first, second, strict=True))
    n = len(x)
    if n < _FEWEST_PAIRS or _is_constant(x) or _is_constant(y):
        return Correlation(n, None, None)
    dx, dy = _scaled(_centred(x)), _scaled(_centred(y))
    product = math.fsum(a * b for a, b in zip(dx, dy, strict=True))
    r = product / math.sqrt(math.fsum(a * a for a in dx) * math.fsum(b * b for b in dy))
    r = min(max(r, -1.0), 1.0)
    if n == _FEWEST_PAIRS or math.isclose(abs(r), 1.0, rel_tol=1e-12):
        return Correlation(n, r, None)
    z, half = math.atanh(r), critical / math.sqrt(n - 3)
    return Correlation(n, r, Interval(math.tanh(z - half), math.tanh(z + half)))


def icc_2_1(rows: Sequence[Sequence[float | None]], *, confidence: float = CONFIDENCE) -> Correlation:
    """ICC(2,1): absolute agreement of single measurements, participants and occasions both random.

    Shrout & Fleiss (1979, Intraclass correlations), case 2; the interval as McGraw & Wong (1996, Forming
    inferences about some intraclass correlation coefficients) give it, table 7. `rows`: a participant each,
    with the same number of occasions, two at least; a row with a missing value is left out. A systematic
    change between occasions lowers it, which a Pearson correlation does not see. At most 1; below 0 people
    differ less than their own occasions do, and of few people it may even be below -1: read it as none.
    ValueError for rows of different length and a confidence outside (0, 1).
    """
    tail = (1 + _checked(confidence)) / 2
    if len({len(row) for row in rows}) > 1 or any(len(row) < 2 for row in rows):
        msg = "each participant needs the same number of occasions, two at least"
        raise ValueError(msg)
    complete = [known for row in rows for total, known in [_known(row)] if len(known) == total]
    n = len(complete)
    if n < _FEWEST_PAIRS or _is_constant([value for row in complete for value in row]):
        return Correlation(n, None, None)
    k = len(complete[0])
    squares = _mean_squares(_scaled_rows(complete))
    spread = k * squares.occasions + (k * n - k - n) * squares.error
    whole = n * squares.participants + spread
    if whole <= 0:
        return Correlation(n, None, None)
    value = n * (squares.participants - squares.error) / whole
    return Correlation(n, value, _icc_interval(value, squares, n, k, tail))


def _scaled_rows(rows: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """The same in another unit: centred, and so large that no square is lost below float64."""
    k = len(rows[0])
    flat = _scaled(_centred([value for row in rows for value in row]))
    return [flat[start : start + k] for start in range(0, len(flat), k)]


class _MeanSquares(NamedTuple):
    participants: float
    occasions: float
    error: float


def _mean_squares(rows: Sequence[Sequence[float]]) -> _MeanSquares:
    """Of the two-way analysis of variance without replication."""
    n, k = len(rows), len(rows[0])
    grand = _mean([value for row in rows for value in row])
    of_rows = [_mean(row) - grand for row in rows]
    of_columns = [_mean(column) - grand for column in zip(*rows, strict=True)]
    error = [
        value - grand - of_row - of_column
        for row, of_row in zip(rows, of_rows, strict=True)
        for value, of_column in zip(row, of_columns, strict=True)
    ]
    return _MeanSquares(
        k * math.fsum(each * each for each in of_rows) / (n - 1),
        n * math.fsum(each * each for each in of_columns) / (k - 1),
        math.fsum(each * each for each in error) / ((n - 1) * (k - 1)),
    )


def _icc_interval(value: float, squares: _MeanSquares, n: int, k: int, tail: float) -> Interval | None:
    if math.isclose(value, 1.0, rel_tol=1e-12) or not squares.participants:
        return None
    a = k * value / (n * (1 - value)) * squares.occasions
    b = (1 + k * value * (n - 1) / (n * (1 - value))) * squares.error
    parts = a * a / (k - 1) + b * b / ((n - 1) * (k - 1))
    df = (a + b) * (a + b) / parts if parts else 0.0
    if not df:
        return None
    below, above = f_quantile(tail, n - 1, df), f_quantile(tail, df, n - 1)
    spread = k * squares.occasions + (k * n - k - n) * squares.error
    between = n * squares.participants
    # Divided by the quantile, so that a huge one is no infinity by infinity.
    low = (between / below - n * squares.error) / (spread + between / below)
    high = (between - n * squares.error / above) / (spread / above + between)
    return Interval(low, high)


class _Complete(NamedTuple):
    total: int
    first: list[float]
    second: list[float]


def _complete(pairs: Iterable[Pair]) -> _Complete:
    total = 0
    first: list[float] = []
    second: list[float] = []
    for before, after in pairs:
        total += 1
        if _is_known(before) and _is_known(after):
            first.append(float(before or 0.0))
            second.append(float(after or 0.0))
    return _Complete(total, first, second)


def _known(values: Iterable[float | None]) -> tuple[int, list[float]]:
    """How many there are, and those that are numbers."""
    every = list(values)
    return len(every), [float(value) for value in every if value is not None and _is_known(value)]


def _is_known(value: float | None) -> bool:
    return value is not None and abs(value) <= _LARGEST


def _mean(values: Sequence[float]) -> float:
    # Of equal values it is that value, whatever dividing their sum would round to.
    return values[0] if _is_constant(values) else math.fsum(values) / len(values)


def _centred(values: Sequence[float]) -> list[float]:
    mean = _mean(values)
    return [value - mean for value in values]


def _scaled(values: Sequence[float]) -> list[float]:
    """Divided by the largest, so that no square or product is lost below float64; not of zeros alone."""
    largest = max(abs(value) for value in values)
    return [value / largest for value in values]


def _sd(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    if _is_constant(values):
        return 0.0
    deviations = _centred(values)
    largest = max(map(abs, deviations))
    scaled = math.fsum(each * each for each in _scaled(deviations))
    return largest * math.sqrt(scaled / (len(values) - 1))


def _is_constant(values: Sequence[float]) -> bool:
    return min(values) == max(values)


def _quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _critical(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + _checked(confidence)) / 2)


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        msg = f"a confidence lies between 0 and 1: {confidence}"
        raise ValueError(msg)
    return confidence

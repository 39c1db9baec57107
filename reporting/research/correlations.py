"""How reliable is a score: do people who do a task twice keep their order, and their values?

Pearson's correlation says the first, the intraclass correlation the second.

| sample | answer |
|---|---|
| fewer than three complete pairs | no correlation: two points always lie on a line |
| three pairs | a Pearson correlation without interval (Fisher's z needs four) |
| constant | no correlation |
| perfect agreement (r = ±1, ICC = 1) | the value, without an interval: its error cannot be estimated |
| people do not differ at all between each other | an ICC of 0 or below, without an interval |
| a strongly negative ICC (of few people who keep nothing) | the value, without an interval |

The last: the interval stands on degrees of freedom after Satterthwaite, for which a sum of two mean squares
passes for one. A negative ICC makes it a difference; where that has fewer degrees of freedom than one
occasion against another, the approximation is none, and its "interval" would lie beside the value.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from reporting.research.f_distribution import f_quantile
from reporting.research.samples import (
    CONFIDENCE,
    Interval,
    Pair,
    centred,
    complete_pairs,
    critical_value,
    is_constant,
    known_values,
    mean_of,
    scaled,
    upper_tail,
)

_FEWEST_PAIRS: Final = 3


class Correlation(msgspec.Struct, frozen=True):
    """A coefficient with the number of complete pairs."""

    n: int
    value: float | None
    interval: Interval | None


class Reliability(NamedTuple):
    """Test–retest reliability: do people keep their order (`pearson`), and their values (`icc`)?"""

    pearson: Correlation
    icc: Correlation


class MeanSquares(NamedTuple):
    """Of the two-way analysis of variance without replication, in any unit."""

    participants: float
    occasions: float
    error: float


def retest_reliability(pairs: Iterable[Pair], *, confidence: float = CONFIDENCE) -> Reliability:
    """Both coefficients over the pairs that are complete."""
    complete = complete_pairs(pairs)
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
    _, x, y = complete_pairs(zip(first, second, strict=True))
    n = len(x)
    if n < _FEWEST_PAIRS or is_constant(x) or is_constant(y):
        return pearson_of(n, None, confidence=confidence)
    dx, dy = scaled(centred(x)), scaled(centred(y))
    product = math.fsum(a * b for a, b in zip(dx, dy, strict=True))
    r = product / math.sqrt(math.fsum(a * a for a in dx) * math.fsum(b * b for b in dy))
    return pearson_of(n, r, confidence=confidence)


def pearson_of(n: int, r: float | None, *, confidence: float = CONFIDENCE) -> Correlation:
    """`pearson` of `n` complete pairs that correlate so; None: one of the two is constant."""
    critical = critical_value(confidence)
    if r is None or n < _FEWEST_PAIRS:
        return Correlation(n, None, None)
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
    if len({len(row) for row in rows}) > 1 or any(len(row) < 2 for row in rows):
        msg = "each participant needs the same number of occasions, two at least"
        raise ValueError(msg)
    complete = [known for row in rows for total, known in [known_values(row)] if len(known) == total]
    n = len(complete)
    if n < _FEWEST_PAIRS or is_constant([value for row in complete for value in row]):
        return icc_of(n, 2, None, confidence=confidence)
    return icc_of(n, len(complete[0]), _mean_squares(_scaled_rows(complete)), confidence=confidence)


def icc_of(n: int, k: int, squares: MeanSquares | None, *, confidence: float = CONFIDENCE) -> Correlation:
    """`icc_2_1` of `n` participants at `k` occasions; None: all values are the same."""
    tail = upper_tail(confidence)
    if squares is None or n < _FEWEST_PAIRS:
        return Correlation(n, None, None)
    spread = k * squares.occasions + (k * n - k - n) * squares.error
    whole = n * squares.participants + spread
    if whole <= 0:
        return Correlation(n, None, None)
    value = n * (squares.participants - squares.error) / whole
    return Correlation(n, value, _icc_interval(value, squares, n, k, tail))


def _scaled_rows(rows: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """The same in another unit: centred, and so large that no square is lost below float64."""
    k = len(rows[0])
    flat = scaled(centred([value for row in rows for value in row]))
    return [flat[start : start + k] for start in range(0, len(flat), k)]


def _mean_squares(rows: Sequence[Sequence[float]]) -> MeanSquares:
    """Of the two-way analysis of variance without replication."""
    n, k = len(rows), len(rows[0])
    grand = mean_of([value for row in rows for value in row])
    of_rows = [mean_of(row) - grand for row in rows]
    of_columns = [mean_of(column) - grand for column in zip(*rows, strict=True)]
    error = [
        value - grand - of_row - of_column
        for row, of_row in zip(rows, of_rows, strict=True)
        for value, of_column in zip(row, of_columns, strict=True)
    ]
    return MeanSquares(
        k * math.fsum(each * each for each in of_rows) / (n - 1),
        n * math.fsum(each * each for each in of_columns) / (k - 1),
        math.fsum(each * each for each in error) / ((n - 1) * (k - 1)),
    )


def _icc_interval(value: float, squares: MeanSquares, n: int, k: int, tail: float) -> Interval | None:
    if math.isclose(value, 1.0, rel_tol=1e-12) or not squares.participants:
        return None
    a = k * value / (n * (1 - value)) * squares.occasions
    b = (1 + k * value * (n - 1) / (n * (1 - value))) * squares.error
    parts = a * a / (k - 1) + b * b / ((n - 1) * (k - 1))
    df = (a + b) * (a + b) / parts if parts else 0.0
    # Of a sum they are k - 1 at least; below that it is a difference (see the module).
    if not parts or (value < 0 and df < k - 1):
        return None
    below, above = f_quantile(tail, n - 1, df), f_quantile(tail, df, n - 1)
    spread = k * squares.occasions + (k * n - k - n) * squares.error
    between = n * squares.participants
    low = (between / below - n * squares.error) / (spread + between / below)
    high = (between - n * squares.error / above) / (spread / above + between)
    return Interval(low, high)

"""What statistics have in common: which values count, and sums that lose nothing.

| value | here |
|---|---|
| None, NaN, infinite, beyond ±1e100 (its square's sums overflow) | missing: left out and counted |
| so small that its square is 0 | scaled by the largest before it is squared |
| all equal | their mean is that value, their deviation 0, whatever rounding says |
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
LARGEST: Final = 1e100
"""Beyond it a value is missing."""

Pair = tuple[float | None, float | None]
"""The first and the second value of one participant."""


class Interval(NamedTuple):
    """A two-sided confidence interval, in the unit of what it is about."""

    low: float
    high: float


class CompletePairs(NamedTuple):
    """`total` counts the incomplete ones too."""

    total: int
    first: list[float]
    second: list[float]


def complete_pairs(pairs: Iterable[Pair]) -> CompletePairs:
    """Those of which both values are numbers."""
    total = 0
    first: list[float] = []
    second: list[float] = []
    for before, after in pairs:
        total += 1
        if before is not None and after is not None and is_known(before) and is_known(after):
            first.append(float(before))
            second.append(float(after))
    return CompletePairs(total, first, second)


def known_values(values: Iterable[float | None]) -> tuple[int, list[float]]:
    """How many there are, and those that are numbers."""
    every = list(values)
    return len(every), [float(value) for value in every if value is not None and is_known(value)]


def is_known(value: float | None) -> bool:
    """Whether it counts as a value."""
    return value is not None and abs(value) <= LARGEST


def mean_of(values: Sequence[float]) -> float:
    """Of one value at least."""
    # Of equal values it is that value, whatever dividing their sum would round to.
    return values[0] if is_constant(values) else math.fsum(values) / len(values)


def centred(values: Sequence[float]) -> list[float]:
    """Less their mean."""
    mean = mean_of(values)
    return [value - mean for value in values]


def scaled(values: Sequence[float]) -> list[float]:
    """Divided by the largest, so that no square or product is lost below float64; not of zeros alone."""
    largest = max(abs(value) for value in values)
    return [value / largest for value in values]


def sd_of(values: Sequence[float]) -> float | None:
    """With n - 1 in the denominator; None of fewer than two."""
    if len(values) < 2:
        return None
    if is_constant(values):
        return 0.0
    deviations = centred(values)
    largest = max(map(abs, deviations))
    squares = math.fsum(each * each for each in scaled(deviations))
    return largest * math.sqrt(squares / (len(values) - 1))


def is_constant(values: Sequence[float]) -> bool:
    """Whether all are equal; of one at least."""
    return min(values) == max(values)


def quantile_of(values: Sequence[float], share: float) -> float | None:
    """Type 7 of Hyndman & Fan (1996); None of none."""
    if not values:
        return None
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def critical_value(confidence: float) -> float:
    """Of the normal distribution, two-sided. Raises ValueError."""
    return NormalDist().inv_cdf(upper_tail(confidence))


def upper_tail(confidence: float) -> float:
    """The probability below the upper end of an interval. ValueError for a confidence outside (0, 1)."""
    tail = (1 + confidence) / 2
    if not 0.5 < tail < 1:
        msg = f"a confidence lies between 0 and 1: {confidence}"
        raise ValueError(msg)
    return tail

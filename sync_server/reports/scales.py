"""Scales of charts: round steps, from values to points of the page. Pure."""

import math
from typing import Final, NamedTuple

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale(NamedTuple):
    """`low` and `high` in units of the data, `start` and `end` in points of the page; may run backwards."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def step_for(span: float, most: int) -> float:
    """The smallest round step (1, 2, 2.5 or 5 by a power of ten) that goes into `span` `most` times."""
    if span <= 0 or not math.isfinite(span):
        return 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in _STEPS if step * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round values from the first at or below `low` to the first at or above `high`."""
    if low == high:
        half = abs(low) * 0.1 or 1.0
        low, high = low - half, high + half
    step = step_for(high - low, most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def whole_ticks(high: int, most: int = 4) -> list[int]:
    """Round whole numbers from 0 to at least `high`."""
    step = max(1, math.ceil(step_for(max(high, 1), most)))
    return [number * step for number in range(math.ceil(max(high, 1) / step) + 1)]


def thinned(number: int, most: int) -> int:
    """Every which of `number` labels to show, so that at most `most` are."""
    return max(1, math.ceil(number / most))

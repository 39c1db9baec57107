"""Plots of the pages of research, as paths and places: templates write the SVG. Pure.

Nothing here is a number of its own: beside each plot stands a table that says the same.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

WIDTH: Final = 320
HEIGHT: Final = 120
SIDE: Final = 300
CELLS: Final = 60
"""Dots are put on a grid of so many by so many: a plot of 10,000 people is no larger than one of 3,600."""


class Histogram(NamedTuple):
    """Bars as one path; where median and quartiles are, None where there are none."""

    bars: str
    median: float | None
    lower: float | None
    upper: float | None


class Scatter(NamedTuple):
    """Dots as one path of points; both axes from `low` to `high`."""

    dots: str
    low: float
    high: float


def histogram(
    edges: Sequence[float], counts: Sequence[int], highest: int, quartiles: Sequence[float | None]
) -> Histogram:
    """`highest`: the greatest count of all plots that are compared; `quartiles`: lower, median, upper."""
    slot = WIDTH / max(len(counts), 1)
    bars = []
    for number, count in enumerate(counts):
        if count:
            high = round(HEIGHT * count / max(highest, 1), 1)
            bars.append(
                f"M{_short(slot * number + 0.5)} {HEIGHT}v{_short(-high)}h{_short(slot - 1)}v{_short(high)}z"
            )
    lower, median, upper = (_at(edges, value) for value in quartiles)
    return Histogram("".join(bars), median, lower, upper)


def scatter(low: float, high: float, cells: Iterable[tuple[int, int]]) -> Scatter:
    """First against second: places on a grid of CELLS from `low` to `high`; of one value, around it."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = SIDE / CELLS
    dots = "".join(f"M{_short(x * step)} {_short(SIDE - y * step)}h0" for x, y in sorted(cells))
    return Scatter(dots, low, high)


def bar(value: float, highest: float) -> float:
    """The length of a bar, in percent of the longest."""
    return round(100 * value / highest, 1) if highest else 0.0


def _at(edges: Sequence[float], value: float | None) -> float | None:
    if value is None or len(edges) < 2:
        return None
    return round(WIDTH * (value - edges[0]) / (edges[-1] - edges[0]), 1)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

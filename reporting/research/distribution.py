"""How values are distributed: bins of equal width, the last one with its upper edge. Pure.

| sample | bins |
|---|---|
| empty, or nothing but None, NaN and infinity | none |
| constant | of width 1 together, around the value |
| values so near each other that edges would be the same number | as of a constant one |
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from reporting.research.samples import known_values


def edges_of(values: Iterable[float | None], bins: int) -> list[float]:
    """bins + 1 edges, ascending, from the least value to the greatest; [] where there is nothing to count.

    ValueError for bins below 0.
    """
    if bins < 0:
        raise ValueError(f"{bins} bins")
    _, known = known_values(values)
    if not known or bins == 0:
        return []
    low, high = min(known), max(known)
    edges = _between(low, high, bins)
    if all(before < after for before, after in pairwise(edges)):
        return edges
    reach = max(0.5, abs(low) * 1e-6)
    return _between(low - reach, high + reach, bins)


def count_in(values: Iterable[float | None], edges: Sequence[float]) -> list[int]:
    """How many values are in each bin; those outside are in none."""
    counts = [0] * max(len(edges) - 1, 0)
    _, known = known_values(values)
    for value in known:
        if counts and edges[0] <= value <= edges[-1]:
            counts[min(bisect_right(edges, value) - 1, len(counts) - 1)] += 1
    return counts


def _between(low: float, high: float, bins: int) -> list[float]:
    return [*(low + (high - low) * number / bins for number in range(bins)), high]

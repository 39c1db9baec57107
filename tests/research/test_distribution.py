"""How values are distributed over bins."""

import math

import pytest

from reporting.research.distribution import count_in, edges_of


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([], [], []),
        ([None, math.nan, math.inf], [], []),
        ([0, 1, 2, 3, 4], [0, 2, 4], [2, 3]),
        ([0.0, None, 10.0, 10.0], [0, 5, 10], [1, 2]),
        ([7.0, 7.0], [6.5, 7.0, 7.5], [0, 2]),
        ([-1.0], [-1.5, -1.0, -0.5], [0, 1]),
    ],
)
def test_each_value_is_in_one_bin(values: list[float | None], edges: list[float], counts: list[int]) -> None:
    found = edges_of(values, 2)
    assert found == edges
    assert count_in(values, found) == counts


def test_values_that_hardly_differ_are_counted_and_none_gets_lost() -> None:
    values = [1e12, math.nextafter(1e12, math.inf)]
    edges = edges_of(values, 20)
    assert edges == sorted(set(edges))
    assert sum(count_in(values, edges)) == 2
    assert count_in([0.0], edges) == [0] * 20
    assert edges_of(values, 0) == []
    with pytest.raises(ValueError, match="-1 bins"):
        edges_of(values, -1)

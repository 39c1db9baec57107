"""Scales of charts: round steps that hold their values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.reports.scales import Scale, thinned, ticks, whole_ticks


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [
        (286, 364, [250, 300, 350, 400]),
        (0.93, 0.994, [0.925, 0.95, 0.975, 1.0]),
        (-33, 57, [-50, 0, 50, 100]),
        (5, 5, [4.5, 5.0, 5.5]),
        (0, 0, [-1, 0, 1]),
    ],
)
def test_steps_are_round_and_hold_the_values(low: float, high: float, steps: list[float]) -> None:
    assert ticks(low, high, 3) == pytest.approx(steps)


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_there_are_a_few_steps_whatever_the_values(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 7
    step = found[1] - found[0]
    assert found[0] <= low + step * 1e-6
    assert found[-1] >= low + span - step * 1e-6


def test_counts_have_whole_steps_from_nothing() -> None:
    assert whole_ticks(0) == [0, 1]
    assert whole_ticks(3) == [0, 1, 2, 3]
    assert whole_ticks(247) == [0, 100, 200, 300]
    assert (thinned(12, 12), thinned(13, 12), thinned(0, 5)) == (1, 2, 1)


def test_a_scale_of_one_value_has_it_in_the_middle() -> None:
    assert Scale(3, 3, 10, 20).at(3) == 15
    assert Scale(0, 10, 100, 0).at(2.5) == 75

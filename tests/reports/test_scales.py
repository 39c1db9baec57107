"""Scales of charts: round steps that hold their values."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.reports.bars import Months, draw_months
from sync_server.reports.scales import Scale, thinned, ticks, whole_ticks
from sync_server.reports.sheets import Area, Sheets


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


def test_bars_and_their_sum_stand_on_one_scale() -> None:
    drawn = Drawn()
    months = Months(("Jan", "Feb"), (20, 40), "in the month", "so far", ("0", "20", "40", "60"), "60")
    draw_months(cast(Sheets, drawn), months, Area(0, 0, 300, 150))
    # From the baseline, heights of bars and steps are as the numbers.
    bottom = drawn.line[0][1]
    bars = [area.height for area in drawn.bars]
    steps = sorted({bottom - y for _, y in drawn.line})
    assert bars[1] == pytest.approx(2 * bars[0])
    assert steps == pytest.approx([0, bars[0], 3 * bars[0]])


class Drawn:
    """What is drawn: bars that stand on the axis, and the line that was drawn over them."""

    def __init__(self) -> None:
        self.bars: list[Area] = []
        self.line: list[tuple[float, float]] = []

    def box(self, area: Area, *_: object) -> None:
        if area.height > 10:
            self.bars.append(area)

    def stroke(self, points: list[tuple[float, float]], *_: object) -> None:
        if len(points) > 2:
            self.line = points

    def text(self, *_: object, **__: object) -> None:
        """Of no interest."""

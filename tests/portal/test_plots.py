"""Plots: what a template is given to draw."""

import itertools

from sync_server.portal.plots import CELLS, HEIGHT, SIDE, WIDTH, bar, histogram, scatter


def test_bars_are_as_high_as_counts_and_empty_bins_are_no_bars() -> None:
    plot = histogram([0, 10, 20, 30, 40], [1, 0, 4, 2], 4, (10, 20, 25))
    assert plot.bars.count("M") == 3
    assert f"M0.5 {HEIGHT}v-30h79v30z" in plot.bars
    assert f"M160.5 {HEIGHT}v-{HEIGHT}h79" in plot.bars
    assert (plot.lower, plot.median, plot.upper) == (WIDTH / 4, WIDTH / 2, WIDTH * 5 / 8)


def test_without_values_there_are_neither_bars_nor_places() -> None:
    assert histogram([], [], 0, (None, None, None)) == ("", None, None, None)
    assert histogram([0, 1], [0], 0, (None, None, None)).bars == ""
    assert bar(3, 0) == 0


def test_dots_of_first_and_second_share_one_scale_and_the_origin_is_below_on_the_left() -> None:
    plot = scatter(0, 10, [(0, CELLS), (CELLS, 0), (30, 30)])
    assert plot == (f"M0 0h0M150 150h0M{SIDE} {SIDE}h0", 0, 10)


def test_people_with_one_value_are_in_the_middle() -> None:
    plot = scatter(7, 7, [(CELLS // 2, CELLS // 2)])
    assert (plot.dots, plot.low, plot.high) == ("M150 150h0", 6.5, 7.5)


def test_many_people_are_no_large_page() -> None:
    plot = scatter(0, 10, itertools.product(range(CELLS + 1), repeat=2))
    assert len(plot.dots) < 50_000

"""Statistics of scores on published examples, and on the samples that no textbook shows."""

import math
from typing import Any

import msgspec
import pytest

from reporting.research.correlations import Correlation, icc_2_1, pearson, retest_reliability
from reporting.research.statistics import (
    Description,
    Percentile,
    PracticeEffect,
    describe,
    percentile,
    practice_effect,
    reliable_change,
)

# Anscombe (1973), first set. R: cor.test(anscombe$x1, anscombe$y1)
ANSCOMBE_X = [10.0, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
ANSCOMBE_Y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]

# Student (1908), hours of sleep gained with two drugs, the same ten patients.
SLEEP = list(
    zip(
        [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
        [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
        strict=True,
    )
)

# Shrout & Fleiss (1979), table 2: six targets, four judges.
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]

# Wines and judges of pingouin's documentation (intraclass_corr): ICC2 is 0.728 [0.43, 0.93].
WINES = [
    [1, 2, 0, 1],
    [1, 3, 3, 2],
    [3, 8, 1, 4],
    [6, 4, 3, 3],
    [6, 5, 5, 6],
    [7, 5, 6, 2],
    [8, 7, 7, 9],
    [9, 9, 9, 8],
]


def about(value: float) -> Any:
    """Equal but for rounding, whatever the field's type."""
    return pytest.approx(value)


NONSENSE = [None, math.nan, math.inf, -math.inf, 1e200]


def test_a_description_has_r_s_quartiles_and_the_deviation_of_n_minus_1() -> None:
    # R: quantile(c(1, 2, 3, 4)) is 1.75 2.50 3.25
    assert describe([4, 1, 3, 2]) == Description(4, 0, 2.5, about(math.sqrt(5 / 3)), 2.5, 1.75, 3.25)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Description(0, 0, None, None, None, None, None)),
        (NONSENSE, Description(0, 5, None, None, None, None, None)),
        ([7.0, None], Description(1, 1, 7, None, 7, 7, 7)),
        ([0.1, 0.1, 0.1], Description(3, 0, 0.1, 0, 0.1, 0.1, 0.1)),
        ([1.0, *NONSENSE, 3.0], Description(2, 5, 2, about(math.sqrt(2)), 2, 1.5, 2.5)),
    ],
)
def test_a_description_of_small_constant_and_nonsensical_samples(
    values: list[float | None], expected: Description
) -> None:
    assert describe(values) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 50), (1, 10), (5, 90), (0, 0), (6, 100), (3.5, 60), (None, None), (math.nan, None)],
)
def test_a_percentile_counts_those_below_and_half_of_the_ties(
    value: float | None, expected: float | None
) -> None:
    assert percentile(value, [1, 2, 3, 4, 5, None], smallest_sample=5) == Percentile(5, expected)


def test_a_percentile_is_not_shown_of_a_sample_under_the_minimum() -> None:
    nineteen: list[float | None] = [float(each) for each in range(19)]
    assert percentile(3, [*nineteen, None, math.nan]) == Percentile(19, None)
    assert percentile(3, [*nineteen, 19]) == Percentile(20, 17.5)
    assert percentile(3, [], smallest_sample=0) == Percentile(0, None)
    assert percentile(1, [1] * 20) == Percentile(20, 50)


def test_the_reliable_change_of_jacobson_and_truax_is_theirs() -> None:
    # Jacobson & Truax (1991), p. 14: marital therapy, from 47.5 to 32.5, sd 10, reliability .80.
    change = reliable_change(47.5, 32.5, sd=10, reliability=0.80)
    assert change is not None
    assert round(change.standard_error, 2) == 6.32
    assert round(change.index, 2) == -2.37
    assert change.verdict == "fall"
    assert reliable_change(47.5, 32.5, sd=10, reliability=0.80, confidence=0.99) == msgspec.structs.replace(
        change, verdict="within error"
    )


def test_a_practice_effect_is_taken_from_the_change_and_the_second_deviation_into_its_error() -> None:
    # sem of 3 and 4: their hypotenuse is 5. The change of 12 is 9 beyond practice: 1.8 standard errors.
    change = reliable_change(100, 112, sd=6, sd_second=8, reliability=0.75, practice=3)
    assert change is not None
    assert change.standard_error == pytest.approx(5)
    assert change.index == pytest.approx(1.8)
    assert change.verdict == "within error"
    without = reliable_change(100, 112, sd=6, sd_second=8, reliability=0.75)
    assert without is not None
    assert without.verdict == "rise"


@pytest.mark.parametrize(
    "changed",
    [
        {"first": None},
        {"second": math.nan},
        {"sd": 0.0},
        {"sd": None},
        {"sd": -1.0},
        {"sd_second": -1.0},
        {"sd": 1e-320},
        {"reliability": 1.0},
        {"reliability": -0.1},
        {"reliability": None},
        {"practice": math.inf},
    ],
)
def test_a_reliable_change_without_error_or_numbers_is_undefined(changed: dict[str, Any]) -> None:
    known: dict[str, Any] = {"first": 1.0, "second": 2.0, "sd": 1.0, "reliability": 0.5}
    assert reliable_change(**known) is not None
    assert reliable_change(**known | changed) is None


def test_the_practice_effect_in_students_sleep_is_his_mean_with_the_paired_interval() -> None:
    # R: t.test(extra ~ group, data = sleep, paired = TRUE)
    effect = practice_effect([*SLEEP, (1.0, None), (math.nan, 2.0)])
    assert (effect.n, effect.missing, effect.verdict) == (10, 2, "rise")
    assert effect.interval is not None
    found = [effect.mean_change, effect.sd_change, effect.standardised, *effect.interval]
    assert found == pytest.approx([1.58, 1.2299954832798732, 1.2845575625910546, 0.7001142367, 2.4598857633])


def test_a_practice_effect_turns_with_the_order_and_is_not_shown_where_the_interval_holds_zero() -> None:
    turned = practice_effect([(after, before) for before, after in SLEEP])
    assert turned.verdict == "fall"
    assert turned.mean_change == pytest.approx(-1.58)
    assert practice_effect(SLEEP, confidence=0.9999).verdict == "none shown"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], PracticeEffect(0, 0, None, None, None, None, "unknown")),
        ([(None, 1.0)], PracticeEffect(0, 1, None, None, None, None, "unknown")),
        ([(1.0, 3.0)], PracticeEffect(1, 0, 2, None, None, None, "unknown")),
        ([(1.0, 3.0), (5.0, 7.0)], PracticeEffect(2, 0, 2, 0, None, None, "unknown")),
    ],
)
def test_a_practice_effect_of_one_pair_or_the_same_change_for_all_is_unknown(
    pairs: list[tuple[float | None, float | None]], expected: PracticeEffect
) -> None:
    assert practice_effect(pairs) == expected


def test_pearson_and_its_interval_are_those_of_r_for_anscombe() -> None:
    found = pearson([*ANSCOMBE_X, None], [*ANSCOMBE_Y, 5.0])
    assert found.n == 11
    assert found.interval is not None
    assert [found.value, *found.interval] == pytest.approx([0.8164205163, 0.4243912133, 0.9506932538])


def test_the_icc_and_its_interval_are_those_of_shrout_and_fleiss() -> None:
    found = icc_2_1([*SHROUT_FLEISS, [1, 2, None, 3]])
    assert found.n == 6
    assert found.interval is not None
    # .29 in print; digits from an independent computation with their own form of the interval.
    assert [found.value, *found.interval] == pytest.approx([0.2897637795, 0.0187865134, 0.7610843696])


def test_the_icc_of_wines_and_judges_is_that_of_pingouin() -> None:
    found = icc_2_1(WINES)
    assert found.interval is not None
    assert [round(each, 3) for each in (found.value or 0, *found.interval)] == [0.728, 0.434, 0.927]


def test_a_systematic_change_lowers_the_icc_and_not_pearson() -> None:
    shifted = retest_reliability([(x, x + 5) for x in ANSCOMBE_X])
    assert shifted.pearson == Correlation(11, about(1), None)
    assert shifted.icc.value is not None
    assert shifted.icc.value < 0.5
    found = retest_reliability(SLEEP).icc
    assert found.interval is not None
    assert [found.value, *found.interval] == pytest.approx([0.5962182529, -0.0980238137, 0.8935003865])


@pytest.mark.parametrize(
    ("pairs", "r", "icc"),
    [
        ([], None, None),
        ([(1.0, 2.0), (2.0, 5.0), (None, 1.0)], None, None),
        ([(0.1, 0.1)] * 5, None, None),
        ([(1.0, 3.0), (2.0, 3.0), (4.0, 3.0)], None, 0.0),
        ([(1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (5.0, 5.0)], 1.0, 1.0),
        ([(0.0, 1.0)] * 4, None, 0.0),
    ],
)
def test_correlations_of_few_constant_and_identical_values(
    pairs: list[tuple[float | None, float | None]], r: float | None, icc: float | None
) -> None:
    found = retest_reliability(pairs)
    assert found.pearson.value == (None if r is None else pytest.approx(r))
    assert found.icc.value == (None if icc is None else pytest.approx(icc, abs=1e-12))
    assert found.pearson.interval is None


def test_the_icc_of_few_people_who_keep_nothing_may_be_below_minus_1() -> None:
    # Mean squares of participants and occasions 0, of error e: -e / (e - 2 e / 4).
    found = icc_2_1([[1, -1], [-1, 1], [0, 0], [0, 0]])
    assert found == Correlation(4, about(-2), None)


@pytest.mark.parametrize(
    "pairs",
    [
        # Hardly any degrees of freedom: the interval was beside the value.
        [(0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (-0.3, 0.4)],
        [(-8.0, 7.0), (-9.0, 8.0), (-8.0, 7.0), (3.0, -3.0)],
        # In a large unit its interval once had an infinite end.
        [(-8e90, 7e90), (-9e90, 8e90), (-8e90, 7e90), (3e90, -3e90)],
    ],
)
def test_a_strongly_negative_icc_has_no_interval(pairs: list[tuple[float, float]]) -> None:
    found = icc_2_1(pairs)
    assert found.value is not None
    assert found.value < 0
    assert found.interval is None


def test_a_slightly_negative_icc_has_an_interval_that_holds_it() -> None:
    found = icc_2_1([(1, 2), (2, 1), (3, 4), (4, 2), (2, 4), (5, 1)])
    assert found.value is not None
    assert found.interval is not None
    assert found.interval.low < found.value < 0 < found.interval.high


def test_three_pairs_have_a_correlation_without_interval() -> None:
    assert pearson([1, 2, 3], [1, 3, 2]) == Correlation(3, about(0.5), None)


def test_what_cannot_be_asked_is_an_error() -> None:
    with pytest.raises(ValueError, match="confidence"):
        practice_effect(SLEEP, confidence=1.0)
    with pytest.raises(ValueError, match="confidence"):
        pearson([1], [1], confidence=0.0)
    with pytest.raises(ValueError, match="occasions"):
        icc_2_1([[1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match="shorter"):
        pearson([1, 2], [1])

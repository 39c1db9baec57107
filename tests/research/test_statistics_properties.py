"""What holds of every sample, however odd: bounds, symmetries, independence of units, no exception."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.research.correlations import Correlation, icc_2_1, pearson, retest_reliability
from reporting.research.statistics import (
    describe,
    percentile,
    practice_effect,
    reliable_change,
)

ANYTHING = st.none() | st.floats()
MEASURED = st.integers(-100_000, 100_000).map(lambda tenths: tenths / 10)
"""Scores: few enough digits for ties, none so close that rounding decides."""
ANY_PAIRS = st.lists(st.tuples(ANYTHING, ANYTHING), max_size=12)
PAIRS = st.lists(st.tuples(MEASURED, MEASURED), min_size=4, max_size=30)


def _is_in_its_interval(found: Correlation) -> bool:
    if found.interval is None or found.value is None:
        return found.interval is None
    return found.interval.low - 1e-9 <= found.value <= found.interval.high + 1e-9


@given(pairs=ANY_PAIRS)
def test_no_sample_raises_and_no_answer_is_infinite_or_nan(
    pairs: list[tuple[float | None, float | None]],
) -> None:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    effect = practice_effect(pairs)
    reliability = retest_reliability(pairs)
    numbers: list[float | None] = [
        *msgspec.structs.astuple(describe(first)),
        effect.mean_change,
        effect.sd_change,
        effect.standardised,
        *(effect.interval or ()),
        reliability.pearson.value,
        *(reliability.pearson.interval or ()),
        reliability.icc.value,
        *(reliability.icc.interval or ()),
    ]
    for value in first[:3]:
        change = reliable_change(value, second[0], sd=value, reliability=0.5, practice=second[-1] or 0.0)
        numbers += [] if change is None else [change.index, change.standard_error]
        numbers.append(percentile(value, second, smallest_sample=1).value)
    assert [number for number in numbers if number is not None and not math.isfinite(number)] == []


@given(values=st.lists(MEASURED, min_size=2, max_size=40))
def test_a_description_is_that_of_numpy(values: list[float]) -> None:
    found = describe(values)
    assert [found.lower_quartile, found.median, found.upper_quartile] == pytest.approx(
        [float(each) for each in np.quantile(values, [0.25, 0.5, 0.75])]
    )
    assert [found.mean, found.sd] == pytest.approx(
        [float(np.mean(values)), float(np.std(values, ddof=1))], abs=1e-6
    )


@given(value=MEASURED, sample=st.lists(MEASURED, min_size=1, max_size=40))
def test_a_percentile_and_that_of_the_mirror_image_are_a_hundred(value: float, sample: list[float]) -> None:
    there = percentile(value, sample, smallest_sample=1).value
    mirrored = percentile(-value, [-each for each in sample], smallest_sample=1).value
    assert there is not None
    assert mirrored is not None
    assert 0 <= there <= 100
    assert there + mirrored == pytest.approx(100)


@given(pairs=PAIRS)
def test_correlations_are_bounded_and_lie_in_their_intervals(pairs: list[tuple[float, float]]) -> None:
    found = retest_reliability(pairs)
    assert found.pearson.value is None or -1 <= found.pearson.value <= 1
    assert found.icc.value is None or found.icc.value <= 1 + 1e-12
    assert _is_in_its_interval(found.pearson)
    assert _is_in_its_interval(found.icc)


@given(pairs=PAIRS)
def test_intervals_grow_with_their_confidence(pairs: list[tuple[float, float]]) -> None:
    wide, narrow = practice_effect(pairs, confidence=0.99), practice_effect(pairs, confidence=0.8)
    assert (wide.interval is None) == (narrow.interval is None)
    if wide.interval and narrow.interval:
        assert wide.interval.low < narrow.interval.low <= narrow.interval.high < wide.interval.high


@given(pairs=PAIRS, scale=st.sampled_from([0.001, 3.0, 1e6]), shift=st.sampled_from([0.0, -50.0, 1000.0]))
def test_another_unit_changes_no_correlation(
    pairs: list[tuple[float, float]], scale: float, shift: float
) -> None:
    before = retest_reliability(pairs)
    after = retest_reliability([(x * scale + shift, y * scale + shift) for x, y in pairs])
    for one, other in zip(before, after, strict=True):
        if one.value is not None and other.value is not None:
            assert other.value == pytest.approx(one.value, abs=1e-6)


@given(pairs=PAIRS)
def test_pearson_is_that_of_numpy_and_symmetric(pairs: list[tuple[float, float]]) -> None:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = pearson(first, second).value
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
        return
    assert found == pytest.approx(float(np.corrcoef(first, second)[0, 1]), abs=1e-9)
    assert found == pytest.approx(pearson(second, first).value)


@given(pairs=PAIRS)
def test_the_icc_depends_on_no_order_of_people_or_occasions(pairs: list[tuple[float, float]]) -> None:
    found = icc_2_1(pairs).value
    turned = icc_2_1([(y, x) for x, y in reversed(pairs)]).value
    assert (found is None) == (turned is None)
    if found is not None:
        assert turned == pytest.approx(found, abs=1e-9)


@given(first=MEASURED, second=MEASURED, practice=MEASURED)
def test_a_change_of_just_the_practice_effect_is_within_error_and_turning_it_turns_the_index(
    first: float, second: float, practice: float
) -> None:
    there = reliable_change(first, second, sd=10, reliability=0.8, practice=practice)
    back = reliable_change(second, first, sd=10, reliability=0.8, practice=-practice)
    only_practice = reliable_change(first, first + practice, sd=10, reliability=0.8, practice=practice)
    assert there is not None
    assert back is not None
    assert only_practice is not None
    assert back.index == pytest.approx(-there.index, abs=1e-9)
    assert only_practice.verdict == "within error"

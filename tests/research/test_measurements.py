"""Which session measures a participant at a visit, and where somebody stands in the sample."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reporting.research.measurements import LeftOut, Measurement, Sample, choose, in_order
from reporting.research.retest import change_of, retest_of, standing_of
from reporting.research.statistics import SMALLEST_SAMPLE

NOON = datetime(2016, 7, 22, 12, tzinfo=UTC)


def measured(value: float | None, **changes: Any) -> Measurement:
    known = Measurement("s012", "baseline", "lima", "a", NOON, True, False, value, 1)
    return known._replace(**changes)


def test_the_session_that_began_first_measures_a_visit_and_what_is_left_out_is_counted_once() -> None:
    later = NOON + timedelta(hours=1)
    found = choose(
        [
            measured(1.0, session="b", started_at=later),
            measured(2.0, session="a"),
            measured(3.0, session="c", started_at=NOON - timedelta(days=1), completed=False, flagged=True),
            measured(4.0, session="d", started_at=NOON - timedelta(days=1), flagged=True),
            measured(5.0, session="e", started_at=NOON - timedelta(days=1), visit=None),
            measured(6.0, session="f", visit="retest", site="quito", scoring_version=2),
            measured(7.0, participant="s013", started_at=later),
        ]
    )
    assert found.values == {"baseline": {"s012": 2.0, "s013": 7.0}, "retest": {"s012": 6.0}}
    assert found.left_out == LeftOut(not_completed=1, without_visit=1, flagged=1, repeated=1)
    assert found.scoring_versions == (1, 2)
    assert found.of_visit("baseline") == [2.0, 7.0]
    assert found.pairs("baseline", "retest") == [(2.0, 6.0)]
    assert found.pairs("retest", "none") == []


def test_flagged_sessions_count_where_they_are_asked_for() -> None:
    rows = [measured(4.0, session="d", started_at=NOON - timedelta(days=1), flagged=True), measured(2.0)]
    assert choose(rows).values == {"baseline": {"s012": 2.0}}
    with_flags = choose(rows, include_flagged=True)
    assert with_flags.values == {"baseline": {"s012": 4.0}}
    assert with_flags.left_out == LeftOut(0, 0, 0, 1)


def test_a_first_try_that_defines_no_score_is_missing_and_not_replaced_by_the_second() -> None:
    later = measured(500.0, session="b", started_at=NOON + timedelta(minutes=5))
    for undefined in (None, float("nan"), float("inf")):
        found = choose([later, measured(undefined)])
        assert found.values == {"baseline": {"s012": None}}
        assert not found.has_value("baseline")


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_sessions_of_the_same_instant_the_lesser_site_then_the_lesser_id_counts(
    *, turned: bool
) -> None:
    rows = [measured(1.0, site="quito", session="a"), measured(2.0, session="b"), measured(3.0, session="c")]
    assert choose(reversed(rows) if turned else rows).values == {"baseline": {"s012": 2.0}}


def test_visits_come_in_the_order_of_the_schedule_and_unknown_ones_last() -> None:
    assert in_order({"z", "retest", "a", "baseline"}, ["baseline", "retest", "third"]) == [
        *("baseline", "retest"),
        *("a", "z"),
    ]


def sample(n: int) -> Sample:
    """Participants 0 to n - 1: 500 + i at baseline; 10 less at the retest, give or take 2."""
    baseline = {f"s{i:03}": 500.0 + i for i in range(n)}
    retest = {name: value - 10 + (2 if i % 2 else -2) for i, (name, value) in enumerate(baseline.items())}
    return Sample({"baseline": dict(baseline), "retest": dict(retest)}, LeftOut(0, 0, 0, 0), (1,))


def test_nothing_is_said_of_anybody_in_a_sample_under_the_minimum() -> None:
    few = sample(SMALLEST_SAMPLE - 1)
    standing = standing_of(few, "s003", "baseline")
    assert (standing.value, standing.n, standing.percentile) == (503.0, SMALLEST_SAMPLE - 1, None)
    assert standing.why_not == "too few participants"
    change = change_of(few, "s003", "baseline", "retest")
    assert (change.n, change.change, change.reliability, change.practice) == (19, None, None, None)
    assert change.why_not == "too few participants"


def test_a_change_is_judged_against_the_samples_error_and_practice_effect() -> None:
    enough = sample(SMALLEST_SAMPLE)
    standing = standing_of(enough, "s003", "baseline")
    assert (standing.n, standing.why_not) == (20, None)
    assert standing.percentile == pytest.approx(17.5)
    usual = change_of(enough, "s003", "baseline", "retest")
    assert usual.practice == pytest.approx(-10)
    assert usual.reliability == retest_of(enough, "baseline", "retest").pearson.value
    assert usual.change is not None
    assert usual.change.verdict == "within error"

    changed = {**enough.values["retest"], "s003": 560.0, "s004": None}
    other = enough._replace(values={**enough.values, "retest": changed})
    other = other._replace(values={v: {**values, "s100": 500.0} for v, values in other.values.items()})
    found = change_of(other, "s003", "baseline", "retest")
    assert found.change is not None
    assert found.change.verdict == "rise"
    assert change_of(other, "s004", "baseline", "retest").why_not == "no value"
    assert standing_of(other, "s004", "retest").why_not == "no value"


def test_a_sample_that_keeps_no_order_has_no_reliable_change() -> None:
    n = SMALLEST_SAMPLE
    turned = {f"s{i:03}": float(n - i) for i in range(n)}
    values = {"first": {f"s{i:03}": float(i) for i in range(n)}, "second": turned}
    found = change_of(Sample(values, LeftOut(0, 0, 0, 0), (1,)), "s000", "first", "second")
    assert found.reliability == pytest.approx(-1)
    assert (found.change, found.why_not) == (None, "undefined")

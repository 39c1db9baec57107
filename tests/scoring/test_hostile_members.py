"""Members of a trial hold whatever a tablet sends: such a trial drops out of one measure and raises
nothing."""

from typing import Any

import pytest

from tests.scoring.runs import rows, scores_of

NO_NUMBERS: list[Any] = [None, True, False, "7", "", [7], {"n": 7}, 10**400, -(10**400)]
NO_LABELS: list[Any] = [None, True, 1, 1.5, ["congruent"], {"congruent": 1}, "Congruent", ""]


@pytest.mark.parametrize("num_digits", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_a_num_digits_that_is_no_number_is_no_trial_of_the_span(num_digits: Any) -> None:
    logged = rows(
        {"num_digits": 3},
        {"num_digits": num_digits},
        *({"num_digits": n} for n in (4, 5, 6, 8)),
        condition="forward",
    )
    assert scores_of("digit_span", logged) == {"forward_span": 8, "reverse_span": None}


def test_a_missing_num_digits_is_no_trial_of_the_span() -> None:
    logged = rows({}, *({"num_digits": n} for n in (3, 4, 5, 6, 8)), condition="reverse")
    assert scores_of("digit_span", logged) == {"forward_span": None, "reverse_span": 8}


@pytest.mark.parametrize("member", ["load", "block_num"])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_a_load_or_block_that_is_no_number_counts_for_accuracy_and_time_alone(
    member: str, value: Any
) -> None:
    logged = rows(
        {"rt": 400, "block_num": 1, "load": 2},
        {"rt": 600, "block_num": 2, "load": 9, member: value},
        exp_stage="adaptive",
        correct=1,
    )
    assert scores_of("adaptive_n_back", logged) == {"acc": 1, "avg_rt": 500, "mean_load": 2}


@pytest.mark.parametrize("task", ["stroop", "simon"])
@pytest.mark.parametrize("condition", NO_LABELS, ids=repr)
def test_a_condition_that_is_no_label_counts_for_accuracy_and_time_alone(task: str, condition: Any) -> None:
    logged = rows(
        {"rt": 400, "condition": "congruent"},
        {"rt": 500, "condition": "incongruent"},
        {"rt": 900, "condition": condition},
        correct=1,
    )
    assert list(scores_of(task, logged).values()) == [1, 500, 100, 400, 500]


@pytest.mark.parametrize("member", ["flanker_type", "cue"])
@pytest.mark.parametrize("value", NO_LABELS, ids=repr)
def test_a_flanker_or_cue_that_is_no_label_counts_for_the_rest(member: str, value: Any) -> None:
    logged = rows(
        {"rt": 400, "flanker_type": "congruent", "cue": "double"},
        {"rt": 500, "flanker_type": "incongruent", "cue": "nocue"},
        {"rt": 900, "flanker_type": "neutral", "cue": "spatial", member: value},
        correct=1,
    )
    scores = scores_of("attention_network_task", logged)
    assert (scores["avg_rt"], scores["conflict_rt"], scores["alerting_rt"]) == (500, 100, 100)
    assert scores["neutral_rt"] == (None if member == "flanker_type" else 900)


def test_times_that_overflow_leave_a_score_undefined_instead_of_infinite() -> None:
    logged = rows({"rt": 1.7e308}, {"rt": 1.7e308}, {"rt": 0})
    assert scores_of("simple_reaction_time", logged) == {
        "avg_rt": 1.7e308,
        "std_rt": None,
        "missed_percent": 0,
    }
    assert scores_of("simple_reaction_time", logged[:2])["avg_rt"] is None

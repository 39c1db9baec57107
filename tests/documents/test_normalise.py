"""Trials of jsPsych 6 to 8 in one shape."""

import copy
from typing import Any

import pytest

from reporting.documents.normalise import normalise_trial
from reporting.documents.trials import Trial


def normalised(**members: Any) -> Trial:
    return normalise_trial({"trial_index": 3, **members})


def test_trial_with_an_index_only_has_the_defaults() -> None:
    assert normalised() == Trial(trial_index=3, stage="test", extra={})


@pytest.mark.parametrize(
    ("rt", "rt_ms"), [(983, 983.0), (0, 0.0), (412.25, 412.25), (-1, None), (-0.5, None), (None, None)]
)
def test_negative_or_null_rt_is_no_response(rt: float | None, rt_ms: float | None) -> None:
    trial = normalised(rt=rt)
    assert trial.rt_ms == rt_ms
    assert trial.answered == (rt_ms is not None)
    assert isinstance(trial.rt_ms, float | None)


@pytest.mark.parametrize(
    ("correct", "expected"), [(1, True), (0, False), (True, True), (False, False), (None, None)]
)
def test_correct_is_a_boolean_or_nothing(correct: Any, expected: bool | None) -> None:
    assert normalised(correct=correct).correct is expected


def test_response_of_jspsych_7_is_the_response() -> None:
    trial = normalised(response={"Q0": "often"})
    assert (trial.response, trial.extra) == ({"Q0": "often"}, {})


def test_key_press_of_jspsych_6_is_the_response() -> None:
    trial = normalised(key_press=37)
    assert (trial.response, trial.extra) == (37, {})


def test_null_response_leaves_it_to_key_press() -> None:
    assert normalised(response=None, key_press=37).response == 37


def test_key_press_beside_a_response_is_kept() -> None:
    trial = normalised(response="left", key_press=37)
    assert (trial.response, trial.extra) == ("left", {"key_press": 37})


def test_falsy_response_is_a_response() -> None:
    trial = normalised(response=0, key_press=37)
    assert (trial.response, trial.extra) == (0, {"key_press": 37})


def test_phase_goes_before_exp_stage() -> None:
    trial = normalised(phase="practice", exp_stage="test")
    assert (trial.stage, trial.extra) == ("practice", {"exp_stage": "test"})
    assert normalised(exp_stage="practice").stage == "practice"
    assert normalised(phase=None, exp_stage=None) == Trial(trial_index=3, extra={})


@pytest.mark.parametrize("member", ["condition", "time_elapsed"])
def test_member_of_another_type_than_its_column_stays_as_logged(member: str) -> None:
    trial = normalised(**{member: ["x"]})
    assert trial.extra == {member: ["x"]}
    assert (trial.condition, trial.time_elapsed_ms) == (None, None)


def test_time_elapsed_beyond_a_float_stays_as_logged() -> None:
    assert normalised(time_elapsed=10**400).extra == {"time_elapsed": 10**400}
    assert normalised(time_elapsed=True).extra == {"time_elapsed": True}


def test_everything_else_is_kept_and_the_raw_trial_untouched() -> None:
    raw = {
        "trial_index": 2,
        "rt": 983,
        "key_press": 37,
        "correct": 1,
        "exp_stage": "practice",
        "condition": "congruent",
        "time_elapsed": 12358,
        "stimulus": "<div></div>",
        "trial_type": "poldrack-categorize",
        "possible_responses": [37, 39],
        "view_history": None,
    }
    before = copy.deepcopy(raw)
    assert normalise_trial(raw) == Trial(
        trial_index=2,
        stage="practice",
        rt_ms=983.0,
        correct=True,
        response=37,
        condition="congruent",
        time_elapsed_ms=12358.0,
        extra={
            "stimulus": "<div></div>",
            "trial_type": "poldrack-categorize",
            "possible_responses": [37, 39],
            "view_history": None,
        },
    )
    assert raw == before

"""Each rule on task runs made for it: just below its threshold, just above, and with too little to go by."""

from fractions import Fraction
from math import comb
from typing import Any

import pytest

from reporting.quality import RULES, Subject, flag_task_run
from reporting.quality.chance import CHANCE, fewest_above_chance
from tests.quality.runs import flagged_trials, flags_of, logged, observed, with_each


def test_an_ordinary_task_run_has_no_flags() -> None:
    assert flag_task_run(observed(logged(100))) == []


def test_a_task_run_without_trials_has_no_flags() -> None:
    assert flag_task_run(observed([])) == []


# --- anticipatory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "flagged"),
    [
        ({"rt": 149.9}, True),
        ({"rt": 150}, False),
        ({"rt": 0}, True),
        ({"rt": -1}, False),
        ({"rt": None}, False),
        ({"rt": 100, "exp_stage": "practice"}, False),
        ({"rt": 100, "exp_stage": "adaptive"}, False),
    ],
)
def test_an_answer_before_150_ms_flags_its_trial(members: dict[str, Any], flagged: bool) -> None:
    rows = logged(4)
    rows[2] |= members
    assert flagged_trials(rows) == ([(2, "anticipatory")] if flagged else [])


def test_the_n_back_is_judged_by_its_adaptive_stage() -> None:
    rows = [*logged(3, exp_stage="adaptive", rt=90), {**logged(4)[3], "rt": 90}]
    assert flagged_trials(rows, "adaptive_n_back") == [(index, "anticipatory") for index in range(3)]


def test_no_more_than_a_thousand_trials_are_flagged() -> None:
    assert len(flagged_trials(logged(1_500, rt=1))) == 1_000


@pytest.mark.parametrize(("fast", "of", "flagged"), [(2, 40, False), (3, 40, True), (9, 9, False)])
def test_more_than_one_in_twenty_of_them_flags_the_task_run(fast: int, of: int, flagged: bool) -> None:
    rows = with_each(logged(of), rt=[100] * fast + [500] * (of - fast))
    found = flags_of(rows).get("anticipatory_share")
    assert found == ({"share": fast / of, "trials": fast, "answered": of} if flagged else None)


# --- missed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "of", "flagged"),
    [(10, 100, False), (11, 100, True), (9, 9, False), (2, 10, True), (0, 10, False)],
)
def test_more_than_a_tenth_missed_flags_the_task_run(missed: int, of: int, flagged: bool) -> None:
    rows = with_each(logged(of), rt=[-1] * missed + [500] * (of - missed))
    found = flags_of(rows).get("missed_share")
    assert found == ({"share": missed / of, "missed": missed, "trials": of} if flagged else None)


def test_missed_practice_does_not_count() -> None:
    rows = logged(20)
    assert flags_of([{**row, "exp_stage": "practice", "rt": None} for row in rows[:10]] + rows[10:]) == {}


# --- chance ------------------------------------------------------------------------------------------------


def judged(correct: int, wrong: int) -> list[dict[str, Any]]:
    return with_each(logged(correct + wrong), correct=[1] * correct + [0] * wrong)


@pytest.mark.parametrize(
    ("task", "correct", "of", "flagged"),
    [
        ("simon", 14, 20, True),
        ("simon", 15, 20, False),
        ("simon", 10, 19, False),
        ("simon", 5, 100, True),
        ("choice_reaction_time", 58, 100, True),
        ("choice_reaction_time", 59, 100, False),
        ("attention_network_task", 72, 144, True),
        ("stroop", 39, 96, True),
        ("stroop", 41, 96, False),
        ("adaptive_n_back", 300, 421, False),
        ("adaptive_n_back", 281, 421, True),
        ("digit_span", 3, 28, False),
        ("simple_reaction_time", 0, 100, False),
        ("a_task_of_your_own", 0, 100, False),
    ],
)
def test_accuracy_that_guessing_explains_is_flagged(task: str, correct: int, of: int, flagged: bool) -> None:
    rows = judged(correct, of - correct)
    if task == "adaptive_n_back":
        rows = [{**row, "exp_stage": "adaptive"} for row in rows]
    found = flags_of(rows, task).get("chance_accuracy")
    assert (found is not None) == flagged
    if found is not None:
        assert found == {
            "accuracy": round(correct / of, 4),
            "judged": of,
            "chance": round(CHANCE[task], 4),
        }


def test_missed_trials_are_no_wrong_answers() -> None:
    rows = with_each(logged(60), rt=[-1] * 30 + [500] * 30, correct=[0] * 30 + [1] * 30)
    assert set(flags_of(rows)) == {"missed_share"}


@pytest.mark.parametrize("chance", sorted(set(CHANCE.values())))
@pytest.mark.parametrize("of", [20, 96, 144, 421, 2_000])
def test_the_bound_is_that_of_the_binomial_distribution(chance: float, of: int) -> None:
    # In whole numbers, of sixths: powers of 2,000 underflow.
    sixths = round(chance * 6)

    def at_least(correct: int) -> float:
        weight = sum(comb(of, n) * sixths**n * (6 - sixths) ** (of - n) for n in range(correct, of + 1))
        return float(Fraction(weight, 6**of))

    bound = fewest_above_chance(of, chance)
    assert at_least(bound) <= 0.05 < at_least(bound - 1)


@pytest.mark.parametrize("chance", sorted(set(CHANCE.values())))
def test_beyond_what_is_summed_the_bound_goes_on_smoothly(chance: float) -> None:
    steps = [
        fewest_above_chance(of + 1, chance) - fewest_above_chance(of, chance) for of in range(1_990, 2_010)
    ]
    assert set(steps) <= {0, 1, 2}


# --- repeated key ------------------------------------------------------------------------------------------


def keyed(*runs: tuple[Any, int, int]) -> list[dict[str, Any]]:
    """Per run: the key, how often, and how many of those were wrong (the first ones)."""
    keys = [key for key, times, _ in runs for _ in range(times)]
    correct = [0 if at < wrong else 1 for _, times, wrong in runs for at in range(times)]
    return with_each(logged(len(keys)), key_press=keys, correct=correct)


ALTERNATING = (("a", 1, 0), ("b", 1, 0)) * 20


@pytest.mark.parametrize(
    ("runs", "longest"),
    [
        (((37, 20, 5), *ALTERNATING), 20),
        (((37, 19, 19), *ALTERNATING), None),
        (((37, 20, 4), *ALTERNATING), None),
        ((*ALTERNATING, (39, 33, 30)), 33),
        ((*ALTERNATING, (39, 33, 30), *ALTERNATING, (37, 25, 25)), 33),
        (((37, 60, 0), *ALTERNATING), None),
        (((" ", 30, 15), ("f", 5, 0)), 30),
        (((37, 19, 10),), None),
        ((((1, 2), 40, 40),), None),
        (((None, 40, 40),), None),
        (((True, 40, 40),), None),
    ],
)
def test_one_key_again_and_again_is_flagged_where_others_were_right(
    runs: tuple[tuple[Any, int, int], ...], longest: int | None
) -> None:
    found = flags_of(keyed(*runs), "a_task_of_your_own").get("repeated_key")
    assert (found and found["longest_run"]) == longest


def test_a_run_is_found_wherever_it_begins() -> None:
    for before in range(25):
        rows = keyed(*((37, 1, 0), (39, 1, 0)) * before, ("x", 20, 20), *((37, 1, 0), (39, 1, 0)) * 8)
        assert flags_of(rows, "other")["repeated_key"]["longest_run"] == 20


def test_nearly_always_one_key_is_flagged_without_a_long_run() -> None:
    exactly_95_percent = keyed(*((37, 19, 8), (39, 1, 0)) * 3)
    assert "repeated_key" not in flags_of(exactly_95_percent, "other")
    rows = keyed(*((37, 18, 8), (39, 1, 0)), (37, 19, 8), (39, 1, 0), (37, 19, 9))
    found = flags_of(rows, "other")["repeated_key"]
    assert found == {"longest_run": 0, "key": 37, "key_share": round(56 / 58, 4)}


def test_trials_that_are_not_judged_show_no_repeated_key() -> None:
    assert flags_of(logged(150, key_press=32, correct=None), "simple_reaction_time") == {}


# --- focus -------------------------------------------------------------------------------------------------


def test_focus_shifts_of_scored_trials_flag_the_task_run() -> None:
    rows = logged(10)
    rows[3] |= {"focus_shifts": 2}
    rows[7] |= {"focus_shifts": 1}
    rows[8] |= {"focus_shifts": 5, "exp_stage": "practice"}
    assert flags_of(rows) == {
        "focus_lost": {"trials": 2, "share": 0.2222, "shifts": 3.0, "first_trial_indices": [3, 7]}
    }


# --- timing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "rt", "detail"),
    [
        ([0, 300_500], 500, None),
        ([0, 300_501], 500, {"gaps": 1, "longest_ms": 300_001.0, "after_trial_index": 0, "backwards": 0}),
        ([0, 400_000], 150_000, None),
        ([0, 400_000], -1, {"gaps": 1, "longest_ms": 400_000.0, "after_trial_index": 0, "backwards": 0}),
        (
            [0, 1_000, 900_000, 1_300_500],
            500,
            {"gaps": 2, "longest_ms": 898_500.0, "after_trial_index": 1, "backwards": 0},
        ),
        ([5_000, 4_000], 500, {"gaps": 0, "longest_ms": 0.0, "after_trial_index": 0, "backwards": 1}),
        ([5_000, 5_000], 500, None),
        (
            [0, None, 400_000],
            500,
            {"gaps": 1, "longest_ms": 399_500.0, "after_trial_index": 0, "backwards": 0},
        ),
        ([None, None, 400_000], 500, None),
    ],
)
def test_time_that_is_missing_or_runs_backwards_is_flagged(
    times: list[float | None], rt: float, detail: dict[str, object] | None
) -> None:
    rows = with_each(logged(len(times)), time_elapsed=times, rt=[rt] * len(times))
    assert flags_of(rows).get("timing_gap") == detail


# --- the registry ------------------------------------------------------------------------------------------


def test_every_flag_carries_the_version_of_its_rule_and_is_on_what_it_says() -> None:
    rows = keyed((37, 60, 60))
    rows = with_each(rows, rt=[1] * 50 + [-1] * 10, time_elapsed=[1e6 * at for at in range(60)])
    rows[0] |= {"focus_shifts": 1}
    flags = flag_task_run(observed(rows))
    assert {flag.code for flag in flags} == {
        "anticipatory",
        "anticipatory_share",
        "chance_accuracy",
        "focus_lost",
        "missed_share",
        "repeated_key",
        "timing_gap",
    }
    for flag in flags:
        rule = RULES[flag.code]
        assert flag.rule_version == rule.version
        assert rule.subject is (Subject.TASK_RUN if flag.trial_index is None else Subject.TRIAL)

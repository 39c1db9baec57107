"""Members of a trial hold whatever a tablet sends: no rule raises, and what it makes of them is JSON."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.documents.normalise import normalise_trial
from reporting.quality import flag_task_run, observe, trials_digest
from tests.quality.runs import flags_of, logged, observed

TASKS = ("simon", "stroop", "adaptive_n_back", "digit_span", "a_task_of_your_own", "")
ANYTHING: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, -1e308, 10**400, -(10**400), "", "7", "x" * 100_000,
    [], [7], {}, {"n": 7}, [[[]]],
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("member", ["key_press", "response", "focus_shifts", "time_elapsed", "condition"])
@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: repr(value)[:12])
def test_a_member_of_any_kind_raises_nothing(task: str, member: str, value: Any) -> None:
    rows = logged(30, correct=0, exp_stage="adaptive" if task == "adaptive_n_back" else "test")
    rows[7] |= {member: value}
    everywhere = [{**row, member: value} for row in rows]
    for trials in (rows, everywhere):
        for flag in flag_task_run(observed(trials, task)):
            assert len(msgspec.json.encode(flag.detail)) < 1_000
        trials_digest([(task, 1, observed(trials, task))])


@pytest.mark.parametrize("value", [None, True, "3", [1], {"n": 1}, -2, 0, 10**400], ids=lambda v: repr(v)[:8])
def test_focus_shifts_that_are_no_count_are_no_reason_for_a_flag(value: Any) -> None:
    assert flags_of(logged(12, focus_shifts=value)) == {}


def test_times_that_overflow_are_flagged_without_raising() -> None:
    rows = logged(12)
    rows[3] |= {"time_elapsed": -1.7e308}
    rows[4] |= {"time_elapsed": 1.7e308}
    detail = flags_of(rows)["timing_gap"]
    assert detail["gaps"] == 1
    assert detail["backwards"] == 2
    assert b"Infinity" not in msgspec.json.encode(detail)


trials = st.lists(
    st.fixed_dictionaries(
        {"rt": st.none() | st.integers(-1, 400) | st.floats(-1, 1e308, allow_nan=False)},
        optional={
            "correct": st.sampled_from([0, 1, True, False, None]),
            "key_press": st.sampled_from([37, 37, 37, 39, "a", None, [1]]),
            "exp_stage": st.sampled_from(["test", "test", "practice", "adaptive", ""]),
            "focus_shifts": st.sampled_from([0, 1, 2, "1", None]),
            "time_elapsed": st.none() | st.integers(-(10**9), 10**9) | st.floats(-1e308, 1e308),
        },
    ),
    max_size=60,
)


@given(trials, st.sampled_from(TASKS), st.randoms(use_true_random=False))
def test_the_order_of_the_trials_in_the_document_does_not_matter(
    members: list[dict[str, Any]], task: str, chance: random.Random
) -> None:
    rows = [{"trial_index": index, **row} for index, row in enumerate(members)]
    shuffled = chance.sample(rows, len(rows))
    one, other = (observe(task, [normalise_trial(row) for row in each]) for each in (rows, shuffled))
    assert flag_task_run(one) == flag_task_run(other)
    assert trials_digest([(task, 1, one)]) == trials_digest([(task, 1, other)])

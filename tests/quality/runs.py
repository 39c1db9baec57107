"""Task runs for the rules: rows as jsPsych logs them, and the flags that they get."""

from collections.abc import Iterable
from typing import Any

from reporting.documents.normalise import normalise_trial
from reporting.quality import Observed, flag_task_run, observe

Row = dict[str, Any]


def logged(count: int, **members: Any) -> list[Row]:
    """`count` answered test trials that nothing is wrong with; `members` over their own."""
    return [
        {
            "trial_index": index,
            "rt": 400 + index % 50,
            "key_press": 37 if index % 2 else 39,
            "correct": 1,
            "exp_stage": "test",
            "time_elapsed": 3_000 * index,
            "focus_shifts": 0,
            **members,
        }
        for index in range(count)
    ]


def with_each(rows: Iterable[Row], **members: Iterable[Any]) -> list[Row]:
    """The rows, each with its own value of every member."""
    values = [dict(zip(members, each, strict=True)) for each in zip(*members.values(), strict=True)]
    return [{**row, **own} for row, own in zip(rows, values, strict=True)]


def observed(rows: Iterable[Row], task: str = "simon") -> Observed:
    """The task run of these rows."""
    return observe(task, [normalise_trial(row) for row in rows])


def flags_of(rows: Iterable[Row], task: str = "simon") -> dict[str, dict[str, object]]:
    """Detail of each flag on the task run, by code."""
    flags = flag_task_run(observed(rows, task))
    return {flag.code: flag.detail for flag in flags if flag.trial_index is None}


def flagged_trials(rows: Iterable[Row], task: str = "simon") -> list[tuple[int, str]]:
    """The flags on trials."""
    flags = flag_task_run(observed(rows, task))
    return [(flag.trial_index, flag.code) for flag in flags if flag.trial_index is not None]

"""What a logged trial must be for a row and a score to be made of it.

One wrong trial quarantines its document: a session with a trial left out would look complete and score
differently. Everything that tasks log freely is none of our business here.

| member | rule |
|---|---|
| `trial_index` | required; an integer (no boolean, no `3.0`), unique in its task run |
| `rt` | a number or null; a string or boolean would silently read as "no response" |
| `correct` | true, false, 0, 1 or null |
| `phase`, `exp_stage` | a string or null |
"""

from collections.abc import Sequence
from typing import Any, Final

from reporting.documents.kinds import INT4_MAX, INT4_MIN, Invalid
from reporting.documents.shape import quote

_LARGEST_FLOAT: Final = int(1.7976931348623157e308)


def check_trials(trials: Sequence[dict[str, Any]], path: str) -> Invalid | None:
    """The first thing wrong with the trials of one task run; `path` is that of the task run, `$.tasks[0]`."""
    seen: set[int] = set()
    for position, trial in enumerate(trials):
        trial_index = trial.get("trial_index")
        if type(trial_index) is not int or not INT4_MIN <= trial_index <= INT4_MAX:
            return _explain_trial_index(trial, f"{path}.trials[{position}].trial_index")
        if trial_index in seen:
            return _explain_duplicate(trials, position, path)
        seen.add(trial_index)
        # One cheap test for the many trials that are right; which member is wrong is found out afterwards.
        if not _is_right(trial):
            return _explain_trial(trial, f"{path}.trials[{position}]")
    return None


def _is_right(trial: dict[str, Any]) -> bool:
    get = trial.get
    rt = get("rt")
    if rt is not None and type(rt) is not float and (type(rt) is not int or abs(rt) > _LARGEST_FLOAT):
        return False
    stage = get("phase")
    if stage is not None and type(stage) is not str:
        return False
    stage = get("exp_stage")
    if stage is not None and type(stage) is not str:
        return False
    return get("correct") in _CORRECT


# Compared with ==: 1.0 and true are 1, and an array or object is simply none of these.
_CORRECT: Final = (1, 0, None)


def _explain_trial_index(trial: dict[str, Any], path: str) -> Invalid:
    if "trial_index" not in trial:
        return Invalid("missing_member", path, f"{path} is missing: a trial is identified by it.")
    found = trial["trial_index"]
    if type(found) is int:
        return Invalid(
            "out_of_range", path, f"{path} is {quote(found)}: it has to be between {INT4_MIN} and {INT4_MAX}."
        )
    return Invalid("wrong_type", path, f"{path} is {quote(found)}: it has to be an integer.")


def _explain_duplicate(trials: Sequence[dict[str, Any]], position: int, path: str) -> Invalid:
    trial_index = trials[position]["trial_index"]
    first = next(at for at, trial in enumerate(trials) if trial["trial_index"] == trial_index)
    where = f"{path}.trials[{position}].trial_index"
    return Invalid(
        "duplicate_trial_index",
        where,
        f"{where} is {trial_index}, as in {path}.trials[{first}]: it has to be unique in its task run."
        " A task that is repeated needs another `run`.",
    )


def _explain_trial(trial: dict[str, Any], path: str) -> Invalid:
    rt = trial.get("rt")
    if rt is not None and type(rt) is not float:
        where = f"{path}.rt"
        if type(rt) is not int:
            return Invalid(
                "wrong_type",
                where,
                f"{where} is {quote(rt)}: it has to be milliseconds as a number, or null for no response.",
            )
        if abs(rt) > _LARGEST_FLOAT:
            return Invalid("out_of_range", where, f"{where} is {quote(rt)}: no duration is that long.")
    for member in ("phase", "exp_stage"):
        stage = trial.get(member)
        if stage is not None and type(stage) is not str:
            where = f"{path}.{member}"
            return Invalid("wrong_type", where, f"{where} is {quote(stage)}: it has to be a string.")
    where = f"{path}.correct"
    return Invalid(
        "unknown_value",
        where,
        f"{where} is {quote(trial['correct'])}: it has to be true, false, 1, 0 or null.",
    )

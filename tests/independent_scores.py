"""The published definitions a second time, with numpy, from the raw document: what the projected scores are
held to.

Written from the definitions and from the JSON alone, on purpose without anything of `reporting`: an error in
the server's reading of a trial or in a definition shows up as a difference instead of being made twice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Key = tuple[str, int, str]
"""Task, run, score name."""

_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]


def independent_scores(document: dict[str, Any]) -> dict[Key, float | None]:
    """Every score of every task run of one session document; None where it is undefined."""
    scores: dict[Key, float | None] = {}
    with np.errstate(all="ignore"):  # what overflows ends as an infinity, which `_or_none` judges
        for run in document["tasks"]:
            values = _DEFINITIONS.get(run["task"], _any_task)(_Columns(run["trials"]))
            scores |= {(run["task"], run["run"], name): _or_none(value) for name, value in values.items()}
    return scores


class _Columns:
    """A task run's trials as columns: not a number where a trial has no such value."""

    def __init__(self, trials: list[dict[str, Any]]) -> None:
        self.trials = sorted(trials, key=lambda trial: int(trial["trial_index"]))
        self.stage = [_stage(trial) for trial in self.trials]
        self.rt = self.numbers("rt")
        self.rt[~(self.rt >= 0)] = np.nan
        self.correct = np.array([_judgement(trial) for trial in self.trials], dtype=np.float64)

    def numbers(self, member: str) -> _Floats:
        return np.array([_number(trial.get(member)) for trial in self.trials], dtype=np.float64)

    def having(self, member: str, label: str) -> _Mask:
        return np.array([trial.get(member) == label for trial in self.trials], dtype=np.bool_)

    def at(self, stage: str) -> _Mask:
        return np.array([own == stage for own in self.stage], dtype=np.bool_)

    def answered(self, stage: str = "test") -> _Mask:
        return self.at(stage) & ~np.isnan(self.rt)

    def not_wrong(self, stage: str = "test") -> _Mask:
        wrong: _Mask = self.correct == 0
        return self.answered(stage) & ~wrong

    def median(self, mask: _Mask) -> float:
        return float(np.median(self.rt[mask])) if mask.any() else np.nan

    def acc(self, stage: str = "test") -> float:
        judged = self.answered(stage) & ~np.isnan(self.correct)
        return float(np.mean(self.correct[judged])) if judged.any() else np.nan

    def std(self) -> float:
        mask = self.not_wrong()
        return float(np.std(self.rt[mask], ddof=1)) if mask.sum() > 1 else np.nan

    def missed(self) -> float:
        test = self.at("test")
        return float(np.mean(np.isnan(self.rt[test]))) if test.any() else np.nan


def _simple_reaction_time(run: _Columns) -> dict[str, float]:
    return {"avg_rt": run.median(run.not_wrong()), "std_rt": run.std(), "missed_percent": run.missed()}


def _choice_reaction_time(run: _Columns) -> dict[str, float]:
    return {"acc": run.acc(), **_simple_reaction_time(run)}


def _attention_network_task(run: _Columns) -> dict[str, float]:
    kept = run.not_wrong()
    flanker = {
        kind: run.median(kept & run.having("flanker_type", kind))
        for kind in ("congruent", "incongruent", "neutral")
    }
    cue = {
        kind: run.median(kept & run.having("cue", kind)) for kind in ("nocue", "double", "center", "spatial")
    }
    return {
        "acc": run.acc(),
        "avg_rt": run.median(kept),
        "congruent_rt": flanker["congruent"],
        "incongruent_rt": flanker["incongruent"],
        "neutral_rt": flanker["neutral"],
        "conflict_rt": flanker["incongruent"] - flanker["congruent"],
        "alerting_rt": cue["nocue"] - cue["double"],
        "orienting_rt": cue["center"] - cue["spatial"],
    }


def _two_conditions(run: _Columns, effect: str, congruent: str, incongruent: str) -> dict[str, float]:
    same, other = run.having("condition", "congruent"), run.having("condition", "incongruent")
    return {
        "acc": run.acc(),
        "avg_rt": run.median(run.not_wrong()),
        effect: run.median(run.not_wrong() & other) - run.median(run.not_wrong() & same),
        congruent: run.median(run.answered() & same),
        incongruent: run.median(run.answered() & other),
    }


def _stroop(run: _Columns) -> dict[str, float]:
    return _two_conditions(run, "stroop_rt", "congruent_rt", "incongruent_rt")


def _simon(run: _Columns) -> dict[str, float]:
    return _two_conditions(run, "simon_rt", "congruent_avg_rt", "incongruent_avg_rt")


def _digit_span(run: _Columns) -> dict[str, float]:
    digits = run.numbers("num_digits")
    spans = {}
    for condition in ("forward", "reverse"):
        lengths = digits[run.at("test") & run.having("condition", condition) & ~np.isnan(digits)][4:]
        spans[f"{condition}_span"] = float(np.mean(lengths)) if lengths.size else np.nan
    return spans


def _adaptive_n_back(run: _Columns) -> dict[str, float]:
    block, load = run.numbers("block_num"), run.numbers("load")
    usable = run.at("adaptive") & ~np.isnan(block) & ~np.isnan(load)
    loads = [np.mean(load[usable & (block == number)]) for number in np.unique(block[usable])]
    return {
        "acc": run.acc("adaptive"),
        "avg_rt": run.median(run.not_wrong("adaptive")),
        "mean_load": float(np.mean(loads)) if loads else np.nan,
    }


def _any_task(run: _Columns) -> dict[str, float]:
    values = {"n_trials": float(run.at("test").sum()), "missed_percent": run.missed()}
    if not np.isnan(run.correct[run.at("test")]).all():
        values["acc"] = run.acc()
    if run.answered().any():
        values["avg_rt"] = run.median(run.not_wrong())
    return values


_DEFINITIONS: dict[str, Callable[[_Columns], dict[str, float]]] = {
    "simple_reaction_time": _simple_reaction_time,
    "choice_reaction_time": _choice_reaction_time,
    "attention_network_task": _attention_network_task,
    "stroop": _stroop,
    "simon": _simon,
    "digit_span": _digit_span,
    "adaptive_n_back": _adaptive_n_back,
}


def _stage(trial: dict[str, Any]) -> Any:
    for member in ("phase", "exp_stage"):
        if trial.get(member) is not None:
            return trial[member]
    return "test"


def _judgement(trial: dict[str, Any]) -> float:
    correct = trial.get("correct")
    if correct is None or isinstance(correct, str | list | dict) or correct not in (0, 1):
        return np.nan
    return float(correct)


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        return np.nan
    try:
        number = float(value)
    except OverflowError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

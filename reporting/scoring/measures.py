"""The measures that tasks share: which trials count, and medians, deviations and shares over them.

Every definition reads the same few populations, and confusing them is the classic scoring error: a missed
trial is usually logged with `correct: 0`, so an accuracy over all trials counts it as a mistake and a median
over "rt" reads its -1. Hence the populations have names and are collected once a task run:

| population | trials |
|---|---|
| of the stage | those of the scored stage: `test`, for the adaptive n-back `adaptive`; `practice` never |
| answered | of the stage, with a reaction time |
| counted | answered and not wrong: correct, or without `correct` where the task does not judge |

What a measure cannot define is None. Members of `extra` are whatever the task logged: `number` and the label
test of `median_rts` let a trial with a nonsensical member drop out of that one measure and no other.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from reporting.documents.trials import Trial

Values: TypeAlias = dict[str, float | None]
"""What a definition answers: score name → value, None where the trials do not define it."""


class Responses(NamedTuple):
    """One task run's trials of the scored stage, sorted into populations."""

    n_trials: int
    answered: list[Trial]
    counted: list[Trial]


def read_responses(trials: Iterable[Trial], stage: str = "test") -> Responses:
    """The populations of one stage, in one pass and in the order given."""
    n_trials = 0
    answered: list[Trial] = []
    counted: list[Trial] = []
    for trial in trials:
        if trial.stage != stage:
            continue
        n_trials += 1
        if trial.rt_ms is None:
            continue
        answered.append(trial)
        if trial.correct is not False:
            counted.append(trial)
    return Responses(n_trials, answered, counted)


def median_rt(answered: Iterable[Trial]) -> float | None:
    """Median reaction time in milliseconds; None without an answered trial."""
    return median(_rts(answered))


def sd_rt(answered: Iterable[Trial]) -> float | None:
    """Standard deviation (n - 1) of the reaction times in milliseconds; None for fewer than two."""
    rts = _rts(answered)
    if len(rts) < 2:
        return None
    mean = sum(rts) / len(rts)
    # Products, not powers: an overflow is then infinite, which is no score, instead of an exception.
    return math.sqrt(sum((rt - mean) * (rt - mean) for rt in rts) / (len(rts) - 1))


def accuracy(answered: Iterable[Trial]) -> float | None:
    """Share (0 to 1) of correct ones among the answered trials that are judged; None when none is."""
    judged = [trial.correct for trial in answered if trial.correct is not None]
    return sum(judged) / len(judged) if judged else None


def missed_share(responses: Responses) -> float | None:
    """Share (0 to 1) of the stage's trials that were not answered; None without trials."""
    if not responses.n_trials:
        return None
    return (responses.n_trials - len(responses.answered)) / responses.n_trials


def median_rts(
    answered: Iterable[Trial], label_of: Callable[[Trial], object], labels: Sequence[str]
) -> Values:
    """Median reaction time in milliseconds of the trials of each label, e.g. of each `condition`.

    Trials with any other label, or one that is no string, belong to none.
    """
    rts: dict[str, list[float]] = {label: [] for label in labels}
    for trial in answered:
        label = label_of(trial)
        if isinstance(label, str) and label in rts and trial.rt_ms is not None:
            rts[label].append(trial.rt_ms)
    return {label: median(values) for label, values in rts.items()}


class Congruency(NamedTuple):
    """What a misleading stimulus costs, in milliseconds, and the two medians published beside it."""

    effect: float | None
    congruent_rt: float | None
    incongruent_rt: float | None


def congruency(responses: Responses) -> Congruency:
    """The contrast of tasks whose `condition` is congruent or incongruent.

    As published, the effect is over counted trials but the two medians are over all answered ones, correct or
    not: the effect is therefore not the difference of the two.
    """
    labels = ("congruent", "incongruent")
    counted = median_rts(responses.counted, _condition_of, labels)
    answered = median_rts(responses.answered, _condition_of, labels)
    return Congruency(
        difference(counted["incongruent"], counted["congruent"]),
        answered["congruent"],
        answered["incongruent"],
    )


def difference(minuend: float | None, subtrahend: float | None) -> float | None:
    """`minuend - subtrahend`; None when either is undefined."""
    if minuend is None or subtrahend is None:
        return None
    return minuend - subtrahend


def median(values: list[float]) -> float | None:
    """The middle value, or the mean of the middle two; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean; None of none."""
    return sum(values) / len(values) if values else None


def number(member: object) -> float | None:
    """A member of `extra` as a finite number; None for everything else. `true` is no number."""
    if isinstance(member, bool) or not isinstance(member, int | float):
        return None
    try:
        value = float(member)
    except OverflowError:  # an integer beyond float64
        return None
    return value if math.isfinite(value) else None


def _rts(answered: Iterable[Trial]) -> list[float]:
    return [trial.rt_ms for trial in answered if trial.rt_ms is not None]


def _condition_of(trial: Trial) -> object:
    return trial.condition

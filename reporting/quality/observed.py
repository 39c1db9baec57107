"""One task run as the rules look at it: its trials in order, and the populations that they share.

Rules judge the stage that is scored, `test` or the adaptive n-back's `adaptive`: practice is for making
mistakes. "In order" is by `trial_index`, the task's own numbering; a document may hold its trials in any
order.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from reporting.documents.trials import Trial
from reporting.scoring.adaptive_n_back import STAGE as ADAPTIVE

FEWEST: Final = 10
"""Of fewer trials a share says nothing: one missed trial of five is 20 %."""

_SCORED_STAGE: Final = {"adaptive_n_back": ADAPTIVE}


class Observed(NamedTuple):
    """The trials of one task run, by `trial_index`."""

    task: str
    trials: Sequence[Trial]
    """All of them, of every stage."""
    scored: Sequence[Trial]
    """Those of the scored stage."""
    answered: Sequence[Trial]
    """The scored ones with a reaction time."""
    rts: Sequence[float]
    """Reaction times of `answered`, milliseconds."""


class Finding(NamedTuple):
    """Something that a rule remarks on: the trial, or None for the task run, and what it has seen (JSON)."""

    trial_index: int | None
    detail: dict[str, object]


def observe(task: str, trials: Sequence[Trial]) -> Observed:
    """Sort the trials of one task run into populations."""
    ordered = sorted(trials, key=attrgetter("trial_index"))
    stage = _SCORED_STAGE.get(task, "test")
    scored = [trial for trial in ordered if trial.stage == stage]
    answered = [trial for trial in scored if trial.rt_ms is not None]
    return Observed(
        task, ordered, scored, answered, [trial.rt_ms for trial in answered if trial.rt_ms is not None]
    )


def share(part: int, whole: int) -> float:
    """`part` of `whole` as a detail shows it: a share from 0 to 1, to four decimals."""
    return round(part / whole, 4)

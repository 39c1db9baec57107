"""Which definition scores a task, and in which version.

A scoring error found years later must not silently change published numbers: each score is stored with the
version of its task's definition. Whoever changes what a definition answers raises its version here; stored
scores keep the old one until a re-scoring, which can then show before and after.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from reporting.documents.trials import Trial
from reporting.scoring.adaptive_n_back import score_adaptive_n_back
from reporting.scoring.attention_network_task import score_attention_network_task
from reporting.scoring.choice_reaction_time import score_choice_reaction_time
from reporting.scoring.digit_span import score_digit_span
from reporting.scoring.generic import score_generic
from reporting.scoring.measures import Values
from reporting.scoring.simon import score_simon
from reporting.scoring.simple_reaction_time import score_simple_reaction_time
from reporting.scoring.stroop import score_stroop


class Score(NamedTuple):
    """One score of a task run. `value` is finite, or None where the trials do not define it."""

    name: str
    value: float | None
    version: int


class Definition(NamedTuple):
    """How the trials of a task run are scored. The version rises whenever its answers change."""

    version: int
    score: Callable[[Sequence[Trial]], Values]


GENERIC = Definition(1, score_generic)
"""Of every task that has none of its own."""

DEFINITIONS = {
    "simple_reaction_time": Definition(1, score_simple_reaction_time),
    "choice_reaction_time": Definition(1, score_choice_reaction_time),
    "attention_network_task": Definition(1, score_attention_network_task),
    "stroop": Definition(1, score_stroop),
    "simon": Definition(1, score_simon),
    "digit_span": Definition(1, score_digit_span),
    "adaptive_n_back": Definition(1, score_adaptive_n_back),
}
"""By task."""


def definition_of(task: str, definitions: Mapping[str, Definition] = DEFINITIONS) -> Definition:
    """The definition that scores `task` now."""
    return definitions.get(task, GENERIC)


def score_task_run(
    task: str, trials: Sequence[Trial], definitions: Mapping[str, Definition] = DEFINITIONS
) -> list[Score]:
    """All scores of one task run, in a fixed order; a task without a definition gets the generic ones.

    `trials` are all trials of the run, of any stage and in any order. Never raises on what a tablet can send:
    a trial with nonsensical members drops out of the scores that read them.
    """
    definition = definition_of(task, definitions)
    return [
        Score(name, _finite(value), definition.version) for name, value in definition.score(trials).items()
    ]


def _finite(value: float | None) -> float | None:
    """Reaction times near the end of float64 overflow in a sum; infinity would be a lie and no JSON."""
    return value if value is not None and math.isfinite(value) else None

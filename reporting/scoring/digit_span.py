"""Digit span: repeat a growing list of digits, forward or in reverse. The span is where the staircase
settles.

The list grows after a success and shrinks after failures, so a condition's first four trials are the way up
and the mean length of the rest is the span, whether or not a trial was answered. "First" is by `trial_index`,
the number that the task run itself gave: a merged document may hold its trials in another order.
"""

from collections.abc import Sequence
from operator import attrgetter

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, mean, number

_CLIMB = 4


def score_digit_span(trials: Sequence[Trial]) -> Values:
    """`forward_span` and `reverse_span` in digits."""
    lengths: dict[str, list[float]] = {"forward": [], "reverse": []}
    for trial in sorted(trials, key=attrgetter("trial_index")):
        condition = trial.condition
        if trial.stage != "test" or not isinstance(condition, str) or condition not in lengths:
            continue
        length = number(trial.extra.get("num_digits"))
        if length is not None:
            lengths[condition].append(length)
    return {
        "forward_span": mean(lengths["forward"][_CLIMB:]),
        "reverse_span": mean(lengths["reverse"][_CLIMB:]),
    }

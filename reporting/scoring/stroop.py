"""Stroop: name the ink, not the word. The effect is what a contradicting word costs."""

from collections.abc import Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, accuracy, congruency, median_rt, read_responses


def score_stroop(trials: Sequence[Trial]) -> Values:
    """`acc` as a share from 0 to 1; all others in milliseconds."""
    responses = read_responses(trials)
    contrast = congruency(responses)
    return {
        "acc": accuracy(responses.answered),
        "avg_rt": median_rt(responses.counted),
        "stroop_rt": contrast.effect,
        "congruent_rt": contrast.congruent_rt,
        "incongruent_rt": contrast.incongruent_rt,
    }

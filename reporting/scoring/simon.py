"""Simon: answer the colour, not the side it appears on. The effect is what the wrong side costs."""

from collections.abc import Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, accuracy, congruency, median_rt, read_responses


def score_simon(trials: Sequence[Trial]) -> Values:
    """`acc` as a share from 0 to 1; all others in milliseconds."""
    responses = read_responses(trials)
    contrast = congruency(responses)
    return {
        "acc": accuracy(responses.answered),
        "avg_rt": median_rt(responses.counted),
        "simon_rt": contrast.effect,
        "congruent_avg_rt": contrast.congruent_rt,
        "incongruent_avg_rt": contrast.incongruent_rt,
    }

"""Choice reaction time: two stimuli, a key for each. Speed is that of the correct choices alone."""

from collections.abc import Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, accuracy, median_rt, missed_share, read_responses, sd_rt


def score_choice_reaction_time(trials: Sequence[Trial]) -> Values:
    """`acc` and `missed_percent` as shares from 0 to 1, `avg_rt` and `std_rt` in milliseconds."""
    responses = read_responses(trials)
    return {
        "acc": accuracy(responses.answered),
        "avg_rt": median_rt(responses.counted),
        "std_rt": sd_rt(responses.counted),
        "missed_percent": missed_share(responses),
    }

"""Simple reaction time: one stimulus, one key. Speed, its variability, and how often nothing was pressed.

The task judges no response, so its trials carry no `correct` and every answered trial counts.
"""

from collections.abc import Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, median_rt, missed_share, read_responses, sd_rt


def score_simple_reaction_time(trials: Sequence[Trial]) -> Values:
    """`avg_rt` and `std_rt` in milliseconds, `missed_percent` as a share from 0 to 1."""
    responses = read_responses(trials)
    return {
        "avg_rt": median_rt(responses.counted),
        "std_rt": sd_rt(responses.counted),
        "missed_percent": missed_share(responses),
    }

"""Adaptive n-back: is this letter the one of n letters ago? n, the load, follows the participant from block
to block.

Only the stage `adaptive` is scored. A block has one load, whatever its number of trials: hence the mean over
blocks, so that longer blocks weigh no more. A block whose trials contradict each other counts with the mean
of their loads.
"""

from collections.abc import Iterable, Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, accuracy, mean, median_rt, number, read_responses

STAGE = "adaptive"


def score_adaptive_n_back(trials: Sequence[Trial]) -> Values:
    """`acc` as a share from 0 to 1, `avg_rt` in milliseconds, `mean_load` in letters."""
    responses = read_responses(trials, STAGE)
    return {
        "acc": accuracy(responses.answered),
        "avg_rt": median_rt(responses.counted),
        "mean_load": _mean_load(trials),
    }


def _mean_load(trials: Iterable[Trial]) -> float | None:
    loads: dict[float, list[float]] = {}
    for trial in trials:
        if trial.stage != STAGE:
            continue
        block = number(trial.extra.get("block_num"))
        load = number(trial.extra.get("load"))
        if block is not None and load is not None:
            loads.setdefault(block, []).append(load)
    return mean([sum(block) / len(block) for block in loads.values()])

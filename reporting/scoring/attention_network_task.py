"""Attention network task: arrows between flankers, after a cue. Three differences stand for three networks.

Executive control is what incongruent flankers cost (`conflict_rt`), alerting what a cue gains over none
(`alerting_rt`), orienting what a cue at the place gains over one at the centre (`orienting_rt`). Flankers and
cues cross, so each grouping is over all counted trials.
"""

from collections.abc import Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import (
    Values,
    accuracy,
    difference,
    median_rt,
    median_rts,
    read_responses,
)

_FLANKERS = ("congruent", "incongruent", "neutral")
_CUES = ("nocue", "double", "center", "spatial")


def score_attention_network_task(trials: Sequence[Trial]) -> Values:
    """`acc` as a share from 0 to 1; all others in milliseconds."""
    responses = read_responses(trials)
    flanker = median_rts(responses.counted, _flanker_of, _FLANKERS)
    cue = median_rts(responses.counted, _cue_of, _CUES)
    return {
        "acc": accuracy(responses.answered),
        "avg_rt": median_rt(responses.counted),
        "congruent_rt": flanker["congruent"],
        "incongruent_rt": flanker["incongruent"],
        "neutral_rt": flanker["neutral"],
        "conflict_rt": difference(flanker["incongruent"], flanker["congruent"]),
        "alerting_rt": difference(cue["nocue"], cue["double"]),
        "orienting_rt": difference(cue["center"], cue["spatial"]),
    }


def _flanker_of(trial: Trial) -> object:
    return trial.extra.get("flanker_type")


def _cue_of(trial: Trial) -> object:
    return trial.extra.get("cue")

"""Any task without a definition of its own: what can be said of every jsPsych task.

A score that the task's trials do not carry at all (a questionnaire judges nothing and measures no time) has
no row; an undefined one (all answers wrong, so no time counts) has a row without a value, as everywhere.
"""

from collections.abc import Sequence

from reporting.documents.trials import Trial
from reporting.scoring.measures import Values, accuracy, median_rt, missed_share, read_responses


def score_generic(trials: Sequence[Trial]) -> Values:
    """`n_trials` (test trials), `missed_percent` and `acc` (shares from 0 to 1), `avg_rt` (milliseconds).

    `acc` is there when any test trial is judged, `avg_rt` when any was answered.
    """
    responses = read_responses(trials)
    values: Values = {"n_trials": float(responses.n_trials), "missed_percent": missed_share(responses)}
    if any(trial.stage == "test" and trial.correct is not None for trial in trials):
        values["acc"] = accuracy(responses.answered)
    if responses.answered:
        values["avg_rt"] = median_rt(responses.counted)
    return values

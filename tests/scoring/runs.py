"""Task runs for the scoring tests: rows as jsPsych logs them, their scores, and where the field data is."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reporting.documents.normalise import normalise_trial
from reporting.scoring import score_task_run

FIELD_SESSIONS = Path(__file__).resolve().parents[3] / "shared" / "data" / "field_sessions"
NO_FIELD_DATA = "no field data beside this checkout (../shared/data/field_sessions)"

TASKS = (
    "simple_reaction_time",
    "choice_reaction_time",
    "attention_network_task",
    "stroop",
    "simon",
    "digit_span",
    "adaptive_n_back",
)

Row = dict[str, Any]


def rows(*members: Row, **common: Any) -> list[Row]:
    """Rows numbered in the order given, each with its own members over the common ones."""
    return [{"trial_index": index, **common, **own} for index, own in enumerate(members)]


def scores_of(task: str, logged: Iterable[Row]) -> dict[str, float | None]:
    """The task run's scores by name."""
    return {
        score.name: score.value for score in score_task_run(task, [normalise_trial(row) for row in logged])
    }


def scores_of_session(document: dict[str, Any]) -> dict[tuple[str, int, str], float | None]:
    """A session document's scores by task, run and name."""
    return {
        (run["task"], run["run"], name): value
        for run in document["tasks"]
        for name, value in scores_of(run["task"], run["trials"]).items()
    }

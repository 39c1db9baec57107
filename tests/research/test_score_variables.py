"""Score columns follow the scoring registry: all of them, under names that stay, each labelled."""

import pytest

from reporting.research.datasets import SESSIONS_WIDE
from reporting.research.score_variables import (
    MEANINGS,
    OF_TASK,
    TASK_LABELS,
    meaning_of,
    score_names,
    score_variables,
)
from reporting.research.variables import Unit
from reporting.scoring import DEFINITIONS, GENERIC, Definition

# As in docs/RESEARCHERS.md. A name that goes breaks somebody's analysis.
SCORES = {
    "simple_reaction_time": "avg_rt std_rt missed_percent",
    "choice_reaction_time": "acc avg_rt std_rt missed_percent",
    "attention_network_task": """acc avg_rt congruent_rt incongruent_rt neutral_rt conflict_rt alerting_rt
        orienting_rt""",
    "stroop": "acc avg_rt stroop_rt congruent_rt incongruent_rt",
    "simon": "acc avg_rt simon_rt congruent_avg_rt incongruent_avg_rt",
    "digit_span": "forward_span reverse_span",
    "adaptive_n_back": "acc avg_rt mean_load",
}


def test_every_task_with_a_definition_has_its_version_and_its_scores_as_columns() -> None:
    expected = [
        f"{task}_{name}" for task, scores in SCORES.items() for name in ["scoring_version", *scores.split()]
    ]
    assert [variable.name for variable in score_variables()] == expected
    assert [each.name for each in SESSIONS_WIDE.variables if each.task is not None] == expected
    assert list(TASK_LABELS) == list(DEFINITIONS)


def test_a_score_column_says_its_task_score_unit_version_and_what_missing_means() -> None:
    by_name = SESSIONS_WIDE.by_name
    effect = by_name["stroop_stroop_rt"]
    assert (effect.task, effect.score, effect.unit) == ("stroop", "stroop_rt", Unit.MILLISECONDS)
    assert effect.scoring_version == DEFINITIONS["stroop"].version
    assert effect.comment == (
        "Stroop: incongruent minus congruent RT [ms]; missing: the task was not done"
        " (then scoring_version is missing too), or its trials do not define it"
    )
    assert effect.label.fr == "Stroop : TR incongruent moins congruent"
    assert by_name["digit_span_forward_span"].unit is Unit.DIGITS
    assert by_name["simon_acc"].unit is Unit.SHARE
    assert by_name["stroop_scoring_version"].score is None


def test_the_same_name_may_mean_another_thing_in_another_task() -> None:
    assert meaning_of("stroop", "congruent_rt").label.en.endswith("all answered")
    assert meaning_of("attention_network_task", "congruent_rt").label.en.endswith("correct trials")
    assert {task for task, _ in OF_TASK} <= set(DEFINITIONS)


@pytest.mark.parametrize("definition", [*DEFINITIONS.values(), GENERIC], ids=[*DEFINITIONS, "generic"])
def test_every_score_that_a_definition_answers_has_a_meaning(definition: Definition) -> None:
    assert set(score_names(definition)) <= set(MEANINGS)


def test_a_score_without_meaning_is_an_error_and_no_column_without_label() -> None:
    with pytest.raises(KeyError, match="novel"):
        score_variables({"stroop": Definition(2, lambda _: {"novel": 1.0})})


def test_a_new_version_of_a_definition_changes_the_version_and_no_name() -> None:
    newer = {task: definition._replace(version=7) for task, definition in DEFINITIONS.items()}
    assert [each.name for each in score_variables(newer)] == [each.name for each in score_variables()]
    assert {each.scoring_version for each in score_variables(newer) if each.score} == {7}

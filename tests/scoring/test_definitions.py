"""Every published definition on a task run small enough to check by hand."""

import math
from typing import Any

import pytest

from reporting.documents.normalise import normalise_trial
from reporting.scoring import Score, score_task_run
from tests.scoring.runs import TASKS, Row, rows, scores_of

MISSED: Row = {"rt": -1, "key_press": -1, "correct": 0}
RIGHT: Row = {"correct": 1}
WRONG: Row = {"correct": 0}

CONGRUENT: Row = {"condition": "congruent"}
INCONGRUENT: Row = {"condition": "incongruent"}

TWO_CONDITIONS = rows(
    {"rt": 400, **CONGRUENT, **RIGHT},
    {"rt": 500, **CONGRUENT, **RIGHT},
    {"rt": 900, **CONGRUENT, **WRONG},
    {"rt": 600, **INCONGRUENT, **RIGHT},
    {"rt": 100, **INCONGRUENT, **WRONG},
    {**INCONGRUENT, **MISSED},
    {"rt": 5000, "exp_stage": "practice", **INCONGRUENT, **RIGHT},
)

DEFINITIONS: list[tuple[str, str, list[Row], dict[str, float | None]]] = [
    (
        "simple_reaction_time",
        "median, deviation and misses of the test trials",
        rows(
            {"rt": 5000, "exp_stage": "practice"},
            {"rt": -1, "exp_stage": "practice"},
            {"rt": 300, "exp_stage": "test"},
            {"rt": 200, "exp_stage": "test"},
            {"rt": 500, "exp_stage": "test"},
            {"rt": -1, "exp_stage": "test"},
        ),
        {"avg_rt": 300, "std_rt": math.sqrt(70000 / 3), "missed_percent": 0.25},
    ),
    (
        "simple_reaction_time",
        "an even number of answers has the mean of the middle two",
        rows({"rt": 1000}, {"rt": 200}, {"rt": 401}, {"rt": 300}),
        {"avg_rt": 350.5, "std_rt": math.sqrt((524.75**2 + 275.25**2 + 74.25**2 + 175.25**2) / 3)},
    ),
    (
        "simple_reaction_time",
        "a reaction time of 0 is an answer, null and none are not",
        rows({"rt": 0}, {"rt": 100}, {"rt": None}, {}),
        {"avg_rt": 50, "std_rt": math.sqrt(5000), "missed_percent": 0.5},
    ),
    (
        "simple_reaction_time",
        "one answer has no deviation",
        rows({"rt": 321.5}),
        {"avg_rt": 321.5, "std_rt": None, "missed_percent": 0},
    ),
    (
        "choice_reaction_time",
        "times of correct answers, accuracy of answers: a miss is no mistake",
        rows({"rt": 400, **RIGHT}, {"rt": 100, **WRONG}, {"rt": 460, **RIGHT}, MISSED, {"rt": 500, **RIGHT}),
        {
            "acc": 0.75,
            "avg_rt": 460,
            "std_rt": math.sqrt(7600 / 3),
            "missed_percent": 0.2,
        },
    ),
    (
        "choice_reaction_time",
        "jsPsych 8 logs `phase`, null and booleans",
        rows(
            {"rt": 300, "correct": True, "phase": "practice", "exp_stage": "test"},
            {"rt": 400.5, "correct": True, "phase": "test", "response": "f"},
            {"rt": 100, "correct": False, "phase": "test", "response": "j"},
            {"rt": None, "correct": False, "phase": "test", "response": None},
        ),
        {"acc": 0.5, "avg_rt": 400.5, "std_rt": None, "missed_percent": 1 / 3},
    ),
    (
        "choice_reaction_time",
        "an answer that nobody judged has a time and no accuracy",
        rows({"rt": 400, **RIGHT}, {"rt": 200}, {"rt": 100, **WRONG}),
        {"acc": 0.5, "avg_rt": 300},
    ),
    (
        "attention_network_task",
        "three networks from two crossed groupings of the correct answers",
        rows(
            {"rt": 600, "flanker_type": "congruent", "cue": "nocue"},
            {"rt": 550, "flanker_type": "congruent", "cue": "double"},
            {"rt": 700, "flanker_type": "incongruent", "cue": "center"},
            {"rt": 660, "flanker_type": "incongruent", "cue": "spatial"},
            {"rt": 540, "flanker_type": "neutral", "cue": "nocue"},
            {"rt": 100, "flanker_type": "incongruent", "cue": "nocue", **WRONG},
            {"flanker_type": "neutral", "cue": "spatial", **MISSED},
            {"rt": 9999, "flanker_type": "neutral", "cue": "spatial", "exp_stage": "practice"},
            correct=1,
        ),
        {
            "acc": 5 / 6,
            "avg_rt": 600,
            "congruent_rt": 575,
            "incongruent_rt": 680,
            "neutral_rt": 540,
            "conflict_rt": 105,
            "alerting_rt": 20,
            "orienting_rt": 40,
        },
    ),
    (
        "attention_network_task",
        "a difference needs both its sides",
        rows({"rt": 600, "flanker_type": "congruent", "cue": "nocue", **RIGHT}),
        {"congruent_rt": 600, "incongruent_rt": None, "conflict_rt": None, "alerting_rt": None},
    ),
    (
        "stroop",
        "the effect is over correct answers, the two medians over all answers",
        TWO_CONDITIONS,
        {"acc": 0.6, "avg_rt": 500, "stroop_rt": 150, "congruent_rt": 500, "incongruent_rt": 350},
    ),
    (
        "simon",
        "the effect is over correct answers, the two medians over all answers",
        TWO_CONDITIONS,
        {"acc": 0.6, "avg_rt": 500, "simon_rt": 150, "congruent_avg_rt": 500, "incongruent_avg_rt": 350},
    ),
    (
        "stroop",
        "a condition with wrong answers alone has a median and no effect",
        rows({"rt": 400, **CONGRUENT, **RIGHT}, {"rt": 700, **INCONGRUENT, **WRONG}),
        {"stroop_rt": None, "congruent_rt": 400, "incongruent_rt": 700},
    ),
    (
        "digit_span",
        "the mean length after a condition's first four, answered and correct or not",
        rows(
            *({"condition": "forward", "num_digits": n} for n in (3, 4, 5, 6)),
            {"condition": "forward", "num_digits": 7, "rt": 4000, **RIGHT},
            {"condition": "reverse", "num_digits": 3},
            {"condition": "forward", "num_digits": 8, **MISSED},
            *({"condition": "reverse", "num_digits": n} for n in (4, 5, 4, 6)),
        ),
        {"forward_span": 7.5, "reverse_span": 6},
    ),
    (
        "digit_span",
        "first is by trial_index, wherever the document holds a trial",
        rows(*({"condition": "forward", "num_digits": n} for n in (3, 4, 5, 6, 9, 10)))[::-1],
        {"forward_span": 9.5, "reverse_span": None},
    ),
    (
        "digit_span",
        "four trials are the way up and no span; practice is no way up",
        rows(
            {"condition": "reverse", "num_digits": 9, "exp_stage": "practice"},
            *({"condition": "reverse", "num_digits": n} for n in (3, 4, 5, 6)),
        ),
        {"forward_span": None, "reverse_span": None},
    ),
    (
        "adaptive_n_back",
        "only the adaptive stage; a block weighs the same however long",
        rows(
            {"rt": 500, "block_num": 0, "load": 2, **RIGHT},
            {"rt": 600, "block_num": 0, "load": 2, **RIGHT},
            {"rt": 100, "block_num": 0, "load": 2, **WRONG},
            {"block_num": 1, "load": 3, **MISSED},
            {"rt": 9999, "exp_stage": "practice", **RIGHT},
            {"rt": 9999, "exp_stage": "control", "load": 0, **WRONG},
            {"rt": 9999, "exp_stage": "test", "block_num": 7, "load": 9, **WRONG},
            exp_stage="adaptive",
        ),
        {"acc": 2 / 3, "avg_rt": 550, "mean_load": 2.5},
    ),
    (
        "adaptive_n_back",
        "a run broken off in practice has nothing to score",
        rows({"rt": 500, "exp_stage": "practice", **RIGHT}),
        {"acc": None, "avg_rt": None, "mean_load": None},
    ),
    (
        "tower_of_london",
        "any other task: what its test trials carry",
        rows({"rt": 900, **RIGHT}, {"rt": 700, **WRONG}, MISSED, {"rt": 1, "exp_stage": "practice"}),
        {"n_trials": 3, "missed_percent": 1 / 3, "acc": 0.5, "avg_rt": 900},
    ),
    (
        "questionnaire",
        "a task that neither judges nor measures time has no such rows",
        rows({"response": {"q1": 3}}, {"response": {"q1": 4}, "rt": None}),
        {"n_trials": 2, "missed_percent": 1},
    ),
    (
        "go_nogo",
        "carried but undefined is a row without a value",
        rows({"rt": 300, **WRONG}, MISSED),
        {"n_trials": 2, "missed_percent": 0.5, "acc": 0, "avg_rt": None},
    ),
]


@pytest.mark.parametrize(
    ("task", "logged", "expected"),
    [(task, logged, expected) for task, _, logged, expected in DEFINITIONS],
    ids=[f"{task}: {situation}" for task, situation, _, _ in DEFINITIONS],
)
def test_a_definition_answers_as_computed_by_hand(
    task: str, logged: list[Row], expected: dict[str, float | None]
) -> None:
    scores = scores_of(task, logged)
    for name, value in expected.items():
        assert scores[name] == (None if value is None else pytest.approx(value, rel=1e-12)), name


@pytest.mark.parametrize("task", TASKS)
def test_a_task_run_without_trials_has_every_score_and_no_value(task: str) -> None:
    scores = scores_of(task, [])
    assert scores
    assert set(scores.values()) == {None}


@pytest.mark.parametrize("task", [*TASKS, "tower_of_london"])
def test_practice_alone_is_scored_as_nothing(task: str) -> None:
    practice = rows(
        {"rt": 500, **CONGRUENT, **RIGHT}, {"rt": 600, **INCONGRUENT, **WRONG}, exp_stage="practice"
    )
    assert scores_of(task, practice) == scores_of(task, [])


def test_the_names_are_the_published_ones_in_a_fixed_order() -> None:
    assert {task: list(scores_of(task, [])) for task in TASKS} == {
        "simple_reaction_time": ["avg_rt", "std_rt", "missed_percent"],
        "choice_reaction_time": ["acc", "avg_rt", "std_rt", "missed_percent"],
        "attention_network_task": [
            "acc",
            "avg_rt",
            "congruent_rt",
            "incongruent_rt",
            "neutral_rt",
            "conflict_rt",
            "alerting_rt",
            "orienting_rt",
        ],
        "stroop": ["acc", "avg_rt", "stroop_rt", "congruent_rt", "incongruent_rt"],
        "simon": ["acc", "avg_rt", "simon_rt", "congruent_avg_rt", "incongruent_avg_rt"],
        "digit_span": ["forward_span", "reverse_span"],
        "adaptive_n_back": ["acc", "avg_rt", "mean_load"],
    }


def test_a_generic_task_without_trials_has_a_count_and_no_share() -> None:
    assert scores_of("tower_of_london", []) == {"n_trials": 0, "missed_percent": None}


def test_every_score_carries_the_version_of_its_definition() -> None:
    trials = [normalise_trial(row) for row in rows({"rt": 300})]
    assert score_task_run("simple_reaction_time", trials) == [
        Score("avg_rt", 300.0, 1),
        Score("std_rt", None, 1),
        Score("missed_percent", 0.0, 1),
    ]
    assert {score.version for score in score_task_run("tower_of_london", trials)} == {1}


def test_scoring_leaves_the_trials_as_they_were() -> None:
    members: list[dict[str, Any]] = [{"condition": "forward", "num_digits": n} for n in (3, 4, 5, 6, 7)]
    trials = [normalise_trial(row) for row in rows(*members)[::-1]]
    before = list(trials)
    score_task_run("digit_span", trials)
    assert trials == before

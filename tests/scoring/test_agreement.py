"""The server's scores and a second, independent computation agree on random, made-up and field sessions."""

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_server.demo.generate import generate_sessions
from tests.independent_scores import Key, independent_scores
from tests.scoring.runs import FIELD_SESSIONS, NO_FIELD_DATA, TASKS, Row, scores_of, scores_of_session

TOLERANCE = 1e-9

WORKED_NUMBERS = {
    "simple_reaction_time.avg_rt": 387,
    "simple_reaction_time.std_rt": 93.0521,
    "choice_reaction_time.acc": 0.986667,
    "attention_network_task.conflict_rt": 88,
    "stroop.stroop_rt": 78,
    "stroop.congruent_rt": 569.5,
    "simon.simon_rt": 61.5,
    "digit_span.forward_span": 9.3,
    "digit_span.reverse_span": 9,
    "adaptive_n_back.mean_load": 3,
    "adaptive_n_back.acc": 0.834061,
}

field_files = pytest.mark.parametrize(
    "path",
    sorted(FIELD_SESSIONS.glob("*.ndjson.gz"))
    or [pytest.param(FIELD_SESSIONS, marks=pytest.mark.skip(reason=NO_FIELD_DATA))],
    ids=lambda path: path.name.removesuffix(".ndjson.gz"),
)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NONSENSE = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.just(10**400)
)
MEMBERS = {
    "rt": st.none() | st.just(-1) | st.integers(0, 20_000) | st.decimals(0, 5_000, places=3).map(float),
    "correct": st.sampled_from([None, 0, 1, True, False]),
    "exp_stage": st.sampled_from([None, "test", "test", "adaptive", "adaptive", "practice", "control"]),
    "phase": st.sampled_from([None, None, None, "test", "practice", "adaptive"]),
    "condition": st.sampled_from(["congruent", "incongruent", "forward", "reverse"]) | NONSENSE,
    "flanker_type": st.sampled_from(["congruent", "incongruent", "neutral"]) | NONSENSE,
    "cue": st.sampled_from(["nocue", "double", "center", "spatial"]) | NONSENSE,
    "num_digits": st.integers(-2, 14) | st.floats(0, 20, width=16) | NONSENSE,
    "load": st.integers(0, 9) | st.floats(0, 9, width=16) | NONSENSE,
    "block_num": st.integers(0, 4) | st.sampled_from([0.0, 1.5]) | NONSENSE,
}
TASK_NAMES = st.sampled_from([*TASKS, "tower_of_london"])


@st.composite
def logged_rows(draw: st.DrawFn, members: dict[str, st.SearchStrategy[Any]]) -> list[Row]:
    """Rows with distinct indexes in any order, each with any of the members."""
    indexes = draw(st.lists(st.integers(0, 200), unique=True, max_size=25))
    logged = st.fixed_dictionaries({}, optional=members)
    return [{"trial_index": index, **draw(logged)} for index in indexes]


def assert_agree(ours: dict[Key, float | None], theirs: dict[Key, float | None]) -> None:
    assert ours.keys() == theirs.keys()
    differing = {key: (value, theirs[key]) for key, value in ours.items() if not _same(value, theirs[key])}
    assert not differing


def _same(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def documents(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@unhurried
@given(task=TASK_NAMES, trials=logged_rows(MEMBERS))
def test_any_task_run_scores_the_same_twice(task: str, trials: list[Row]) -> None:
    document = {"tasks": [{"task": task, "run": 1, "trials": trials}]}
    assert_agree(scores_of_session(document), independent_scores(document))


@unhurried
@given(
    task=TASK_NAMES | st.text(max_size=5),
    trials=logged_rows({**MEMBERS, "rt": st.none() | st.floats(allow_nan=False, allow_infinity=False)}),
)
def test_whatever_the_times_a_score_is_finite_or_undefined(task: str, trials: list[Row]) -> None:
    for value in scores_of(task, trials).values():
        assert value is None or math.isfinite(value)


def test_generated_sessions_score_the_same_twice() -> None:
    for document in generate_sessions(12, site="lima", seed=5):
        assert_agree(scores_of_session(document), independent_scores(document))


@field_files
def test_field_sessions_score_the_same_twice(path: Path) -> None:
    for document in documents(path):
        assert_agree(scores_of_session(document), independent_scores(document))


@pytest.mark.skipif(not FIELD_SESSIONS.is_dir(), reason=NO_FIELD_DATA)
def test_the_worked_numbers_of_a_real_participant_come_out() -> None:
    scores: dict[str, float | None] = {}
    for path in sorted(FIELD_SESSIONS.glob("retest-*.ndjson.gz")):
        for document in documents(path):
            if document["participant"] == "s011":
                scores |= {
                    f"{task}.{name}": value for (task, _, name), value in scores_of_session(document).items()
                }
    assert {name: scores[name] for name in WORKED_NUMBERS} == pytest.approx(WORKED_NUMBERS, rel=1e-6)

"""Made-up sessions: repeatable, valid, and as awkward as real ones."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest

from reporting.documents.kinds import Session
from reporting.documents.validate import validate
from sync_server.demo.generate import generate_sessions
from sync_server.demo.task_runs import TASKS
from tests.independent_scores import independent_scores

Document = dict[str, Any]


@pytest.fixture(scope="module")
def sessions() -> list[Document]:
    return list(generate_sessions(24, site="lima", seed=7))


def trials_of(document: Document) -> list[dict[str, Any]]:
    return [trial for run in document["tasks"] for trial in run["trials"]]


def test_the_same_arguments_give_the_same_documents_and_a_longer_run_begins_with_them(
    sessions: list[Document],
) -> None:
    assert list(generate_sessions(6, site="lima", seed=7)) == sessions[:6]


@pytest.mark.parametrize("other", [{"site": "nairobi"}, {"seed": 8}, {"study": "SRO"}], ids=str)
def test_another_site_seed_or_study_gives_other_sessions(
    sessions: list[Document], other: dict[str, Any]
) -> None:
    others = list(generate_sessions(24, **{"site": "lima", "seed": 7, **other}))
    assert not {document["_id"] for document in sessions} & {document["_id"] for document in others}
    assert trials_of(others[0]) != trials_of(sessions[0])


def test_documents_have_distinct_ids_and_trials_distinct_rising_indexes(sessions: list[Document]) -> None:
    assert len({document["_id"] for document in sessions}) == len(sessions)
    for document in sessions:
        assert len({run["task"] for run in document["tasks"]}) == len(document["tasks"])
        for run in document["tasks"]:
            for member in ("trial_index", "time_elapsed"):
                numbers = [trial[member] for trial in run["trials"]]
                assert all(one < next_one for one, next_one in pairwise(numbers))


def test_every_document_is_valid_for_its_site(sessions: list[Document]) -> None:
    for document in sessions:
        judged = validate(document["_id"], json.dumps(document).encode(), site="lima")
        assert isinstance(judged, Session), judged


def test_three_sessions_have_all_tasks_and_twelve_two_participants_with_both_visits() -> None:
    documents = list(generate_sessions(12, site="lima", seed=1, trials_per_task=4))
    assert {run["task"] for document in documents[:3] for run in document["tasks"]} == set(TASKS)
    assert {(document["participant"], document["visit"]) for document in documents} == {
        (participant, visit) for participant in ("p001", "p002") for visit in ("baseline", "retest")
    }


def test_sessions_are_about_as_long_as_real_ones_and_sometimes_abandoned(sessions: list[Document]) -> None:
    assert 280 < mean(len(trials_of(document)) for document in sessions) < 380
    abandoned = [document for document in sessions if document["status"] == "abandoned"]
    assert 0 < len(abandoned) < len(sessions) / 4
    for document in abandoned:
        statuses = [run["status"] for run in document["tasks"]]
        assert statuses == ["completed"] * (len(statuses) - 1) + ["abandoned"]


def test_trials_include_misses_mistakes_and_practice(sessions: list[Document]) -> None:
    keyed = [trial for document in sessions for trial in trials_of(document) if "key_press" in trial]
    missed = [trial for trial in keyed if trial["rt"] == -1]
    assert 0.003 < len(missed) / len(keyed) < 0.05
    assert {(trial["key_press"], trial.get("correct", 0)) for trial in missed} == {(-1, 0)}
    assert any(trial["rt"] > 0 and trial.get("correct") == 0 for trial in keyed)
    assert {trial["exp_stage"] for trial in keyed} == {"practice", "test", "adaptive", "control"}


def test_scores_show_the_effects_that_the_tasks_are_made_for(sessions: list[Document]) -> None:
    effects: dict[str, list[float]] = {}
    for document in sessions:
        for (task, _, name), value in independent_scores(document).items():
            if value is not None:
                effects.setdefault(f"{task}.{name}", []).append(value)
    assert mean(effects["stroop.stroop_rt"]) > 30
    assert mean(effects["simon.simon_rt"]) > 10
    assert mean(effects["attention_network_task.conflict_rt"]) > 40
    assert mean(effects["digit_span.forward_span"]) > mean(effects["digit_span.reverse_span"]) > 3
    assert 1.5 < mean(effects["adaptive_n_back.mean_load"]) < 6
    assert 0.85 < mean(effects["choice_reaction_time.acc"]) < 1


@pytest.mark.parametrize("trials_per_task", [1, 3, 10, 200])
def test_every_finished_task_run_has_exactly_the_trials_asked_for(trials_per_task: int) -> None:
    for document in generate_sessions(8, site="lima", seed=3, trials_per_task=trials_per_task):
        lengths = [len(run["trials"]) for run in document["tasks"] if run["status"] == "completed"]
        assert lengths == [trials_per_task] * len(lengths)
        assert all(run["trials"] for run in document["tasks"])


def test_times_are_utc_and_follow_the_given_first_day() -> None:
    first_day = datetime(2031, 5, 1, 9, 0, tzinfo=timezone(timedelta(hours=-5)))
    (document,) = generate_sessions(1, site="lima", seed=1, first_day=first_day, utc_offset_minutes=-300)
    started_at = datetime.fromisoformat(document["started_at"])
    assert timedelta(0) <= started_at - first_day < timedelta(hours=8)
    assert started_at.astimezone(UTC).isoformat().replace("+00:00", "Z") == document["started_at"]
    assert document["started_at"] < document["ended_at"]
    assert document["utc_offset_minutes"] == -300


@pytest.mark.parametrize(
    "wrong",
    [{"count": -1}, {"trials_per_task": 0}, {"first_day": datetime(2031, 5, 1)}],  # noqa: DTZ001
    ids=["negative count", "no trials", "no time zone"],
)
def test_arguments_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|time zone"):
        generate_sessions(**{"count": 1, "site": "lima", "seed": 1, **wrong})

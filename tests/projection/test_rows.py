"""One session's rows, and the flags that the document itself shows."""

from datetime import UTC, datetime
from typing import Any

from reporting.documents.kinds import Session
from reporting.documents.merge import ValidLeaf, merge
from reporting.documents.validate import validate
from reporting.projection.batch import Receipt
from reporting.projection.rows import FlagRow, SessionRow, SessionRows, session_rows
from tests.documents.examples import SITE, a_session, a_task_run, a_trial, encode

RECEIVED = datetime(2016, 7, 25, 8, 30, tzinfo=UTC)


def rows_of(receipts: dict[str, Receipt] | None = None, **members: Any) -> SessionRows:
    document = a_session(**members)
    session = validate(document["_id"], encode(document), site=SITE)
    assert isinstance(session, Session)
    return session_rows(SITE, merge([ValidLeaf("1-a", session)]), receipts or {})


def test_session_row_has_what_the_document_says_and_when_it_arrived() -> None:
    rows = rows_of({"1-a": Receipt(RECEIVED, "request-1", None)})
    assert rows.session == SessionRow(
        site="lima",
        id="s1",
        study="SRO",
        participant="s012",
        visit="baseline",
        status="completed",
        started_at=datetime(2016, 7, 22, 3, 1, 35, tzinfo=UTC),
        ended_at=datetime(2016, 7, 22, 3, 20, 10, tzinfo=UTC),
        utc_offset_minutes=-300,
        language="en",
        battery_id="self-regulation",
        battery_version=1,
        device_id="lima-tab-2",
        device_model="SM-T510",
        device_os="Android 14",
        app_version="1.0.0",
        rev="1-a",
        schema=1,
        received_at=RECEIVED,
        clock_offset_s=None,
        started_at_corrected=None,
        ended_at_corrected=None,
        trials_digest=None,
    )
    assert rows.flags == []


def test_session_without_optional_members_has_nulls() -> None:
    row = rows_of(visit=None, battery=None, device=None, ended_at=None).session
    assert (row.visit, row.battery_id, row.battery_version, row.device_id, row.ended_at) == (None,) * 5
    assert row.received_at is None


def test_task_run_row_counts_its_trials_and_keeps_the_tablets_summary() -> None:
    rows = rows_of(tasks=[a_task_run(trials=3, summary={"mean_rt": 512.4}, params={"blocks": 2})])
    task_run = rows.task_runs[0]
    assert (task_run.task, task_run.run, task_run.n_trials) == ("simon", 1, 3)
    assert (task_run.params, task_run.summary) == ({"blocks": 2}, {"mean_rt": 512.4})
    assert [trial.trial_index for trial in rows.trials[0].trials] == [1, 2, 3]


def test_task_run_without_trials_has_scores_without_values() -> None:
    rows = rows_of(tasks=[a_task_run(trials=0)])
    assert rows.task_runs[0].n_trials == 0
    assert rows.scores
    assert all(score.value is None for score in rows.scores)


def test_every_score_of_the_task_run_has_its_version() -> None:
    scores = {score.name: score for score in rows_of().scores}
    assert scores["acc"].value == 1.0
    assert all(score.scoring_version >= 1 for score in scores.values())
    assert all(
        (score.site, score.session_id, score.task, score.run) == ("lima", "s1", "simon", 1)
        for score in scores.values()
    )


def test_summary_that_says_the_same_is_not_flagged() -> None:
    trials = [a_trial(1, rt=300), a_trial(2, rt=500)]
    rows = rows_of(tasks=[{**a_task_run(summary={"avg_rt": 400.0000001, "acc": 1}), "trials": trials}])
    assert rows.flags == []


def test_summary_that_differs_is_flagged_with_both_values() -> None:
    trials = [a_trial(1, rt=300), a_trial(2, rt=500)]
    summary = {"avg_rt": 410, "acc": True, "mood": 3, "simon_rt": "fast"}
    rows = rows_of(tasks=[{**a_task_run(summary=summary), "trials": trials}])
    assert rows.flags == [
        FlagRow(
            "lima", "s1", "simon", 1, None, "summary_differs", {"avg_rt": {"tablet": 410, "server": 400.0}}, 1
        )
    ]


def test_summary_of_what_the_server_cannot_compute_is_flagged() -> None:
    rows = rows_of(tasks=[a_task_run(trials=0, summary={"avg_rt": 400})])
    assert rows.flags[0].detail == {"avg_rt": {"tablet": 400, "server": None}}


def test_integer_beyond_float_in_a_summary_is_ignored() -> None:
    assert rows_of(tasks=[a_task_run(summary={"avg_rt": 10**400})]).flags == []


def test_replaced_nul_is_flagged() -> None:
    assert [flag.code for flag in rows_of(language="e\0n").flags] == ["nul_replaced"]


def test_what_the_gateway_normalised_is_flagged_with_its_words() -> None:
    rows = rows_of({"1-a": Receipt(RECEIVED, "request-1", "half a surrogate pair in $.visit")})
    assert [(flag.code, flag.detail) for flag in rows.flags] == [
        ("normalised", {"revisions": {"1-a": "half a surrogate pair in $.visit"}})
    ]

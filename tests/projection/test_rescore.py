"""A new version of a scoring definition: the difference, the replays, and the history of what it replaces."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from reporting.documents.trials import Trial
from reporting.engine import connect
from reporting.projection.replays import request_replays
from reporting.projection.rescore import compare_scores, request_rescoring, rescores_left
from reporting.scoring import DEFINITIONS, Definition
from reporting.scoring.measures import Values
from reporting.scoring.simon import score_simon
from tests.documents.examples import a_session, a_task_run
from tests.projection.conftest import Project, count, everything, rows
from tests.projection.memory_feed import MemoryFeed


def slower(trials: Sequence[Trial]) -> Values:
    """Ten milliseconds more on average, an effect nobody can define any more, and a new score."""
    values = score_simon(trials)
    return {**values, "avg_rt": (values["avg_rt"] or 0) + 10, "simon_rt": None, "n": float(len(trials))}


SECOND = {**DEFINITIONS, "simon": Definition(2, slower)}


def tell(done: int, total: int) -> None:
    assert done <= total


async def saved(feed: MemoryFeed, project: Project, **sessions: Any) -> None:
    for name, tasks in sessions.items():
        feed["lima"].save(a_session(name, tasks=tasks), "1-a")
    await project()


async def test_nothing_differs_while_the_definition_is_the_one_that_scored(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    awkward = a_task_run("digit_span", trials=12)
    for number, trial in enumerate(awkward["trials"]):
        trial.update(num_digits=0.1 + number, rt=None if number % 3 else 1e-7 * number, response={"a": "\\u"})
    await saved(feed, project, s1=[a_task_run()], s2=[a_task_run(trials=0), awkward], s3=[a_task_run("x")])
    for task in ("simon", "digit_span", "x"):
        difference = compare_scores(connection, task, tell=tell)
        assert difference.sessions == 0
        assert difference.task_runs >= 1
        assert {name: of.differing for name, of in difference.scores.items() if of.differing} == {}


async def test_a_dry_run_shows_the_difference_and_writes_nothing(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    await saved(feed, project, s1=[a_task_run()], s2=[a_task_run(), a_task_run(run=2)], s3=[a_task_run("x")])
    before = everything(connection)
    difference = compare_scores(connection, "simon", tell=tell, definitions=SECOND)
    assert (difference.old_versions, difference.new_version) == ([1], 2)
    assert (difference.task_runs, difference.sessions) == (3, 2)
    changed = difference.scores["avg_rt"]
    assert (changed.changed, changed.mean_absolute, changed.max_absolute) == (3, 10.0, 10.0)
    assert difference.scores["simon_rt"].became_undefined == 3
    assert difference.scores["n"].added == 3
    assert difference.scores["acc"].differing == 0
    example = changed.examples[0]
    assert (example.site, example.session, example.run) == ("lima", "s1", 1)
    assert example.before is not None
    assert example.after == example.before + 10
    assert everything(connection) == before
    assert count(connection, "replays") == count(connection, "rescorings") == 0


async def test_rescoring_replaces_scores_and_keeps_the_old_values(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(feed, project, s1=[a_task_run(), a_task_run("stroop")], s2=[a_task_run("stroop")])
    old = rows(connection, "SELECT name, value FROM scores WHERE task = 'simon' ORDER BY name")
    monkeypatch.setitem(DEFINITIONS, "simon", SECOND["simon"])
    difference = request_rescoring(connection, "simon", requested_by="a person", tell=tell)
    assert difference.sessions == rescores_left(connection) == 1
    assert rows(connection, "SELECT task, scoring_version, requested_by, sessions FROM rescorings") == [
        ("simon", 2, "a person", 1)
    ]
    await project()
    assert rescores_left(connection) == 0
    versions = rows(connection, "SELECT DISTINCT task, scoring_version FROM scores ORDER BY task")
    assert versions == [("simon", 2), ("stroop", 1)]
    history = "SELECT name, value FROM score_history WHERE scoring_version = 1 ORDER BY name"
    assert rows(connection, history) == old
    assert request_rescoring(connection, "simon", requested_by="a person", tell=tell).sessions == 0
    assert count(connection, "rescorings") == 1


async def test_no_replay_is_locked_while_scores_are_compared(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["nairobi"].save(a_session("s1", site="nairobi"), "1-a")
    await saved(feed, project, s1=[a_task_run()])

    def ask_meanwhile(done: int, total: int) -> None:
        if done == total:
            with connect(database_url) as other:
                other.execute("SET lock_timeout = '1s'")
                request_replays(other, "lima", ["session:s1"], cause="correction", requested_by="p")

    request_rescoring(connection, "simon", requested_by="c", tell=ask_meanwhile, definitions=SECOND)
    found = rows(connection, "SELECT site, cause FROM replays ORDER BY site")
    assert found == [("lima", "rescore"), ("nairobi", "rescore")]


async def test_a_second_replay_does_not_repeat_the_history(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(feed, project, s1=[a_task_run()])
    n_scores = count(connection, "scores")
    monkeypatch.setitem(DEFINITIONS, "simon", SECOND["simon"])
    for _ in range(2):
        with connection.transaction():
            request_replays(connection, "lima", ["session:s1"], cause="retry", requested_by="c")
        await project()
    assert count(connection, "score_history") == n_scores


async def test_a_save_after_an_upgrade_keeps_the_history_too(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(feed, project, s1=[a_task_run()], s2=[a_task_run()])
    n_scores = count(connection, "scores")
    monkeypatch.setitem(DEFINITIONS, "simon", SECOND["simon"])
    feed["lima"].save(a_session("s1", visit="retest"), "2-b", replaces=["1-a"])
    await project()
    assert rows(connection, "SELECT DISTINCT session_id FROM score_history") == [("s1",)]
    assert count(connection, "score_history") == n_scores // 2


async def test_sessions_that_are_gone_keep_their_scores(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    await saved(feed, project, s1=[a_task_run()])
    feed["lima"].delete("session:s1", "2-b", replaces=["1-a"])
    await project()
    assert compare_scores(connection, "simon", tell=tell, definitions=SECOND).task_runs == 0

"""Real sessions, from stored document to rows, against a second computation of their scores."""

import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from tests.independent_scores import independent_scores
from tests.projection.conftest import Project, count, rows
from tests.projection.memory_feed import MemoryFeed


@pytest.fixture
def field_documents(shared_field_sessions: Path | None) -> list[dict[str, Any]]:
    """The first few documents of each kind from site lima."""
    if shared_field_sessions is None:
        pytest.skip("the field sessions are not beside the checkout")
    documents: list[dict[str, Any]] = []
    for file in sorted(shared_field_sessions.glob("*-lima.ndjson.gz")):
        with gzip.open(file) as lines:
            documents.extend(msgspec.json.decode(line) for line in islice(lines, 4))
    return documents


async def test_field_documents_become_exactly_their_trials_and_scores(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    field_documents: list[dict[str, Any]],
) -> None:
    for document in field_documents:
        feed["lima"].save(document, "1-a")
    await project()
    task_runs = [task_run for document in field_documents for task_run in document["tasks"]]
    assert count(connection, "sessions") == len(field_documents)
    assert count(connection, "task_runs") == len(task_runs)
    assert count(connection, "trials") == sum(len(task_run["trials"]) for task_run in task_runs)
    assert count(connection, "quarantine") == 0
    for document in field_documents:
        session_id = document["_id"].removeprefix("session:")
        found = rows(
            connection, "SELECT task, run, name, value FROM scores WHERE session_id = %(id)s", id=session_id
        )
        scores = {(task, run, name): value for task, run, name, value in found}
        assert scores == pytest.approx(independent_scores(document), abs=1e-9)


async def test_every_member_of_a_field_trial_is_in_its_row(
    feed: MemoryFeed,
    project: Project,
    connection: psycopg.Connection,
    field_documents: list[dict[str, Any]],
) -> None:
    document = field_documents[0]
    feed["lima"].save(document, "1-a")
    await project()
    found = rows(
        connection,
        "SELECT task, trial_index, stage, rt_ms, correct, response, condition, time_elapsed_ms, extra"
        " FROM trials",
    )
    by_trial = {row[:2]: row[2:] for row in found}
    for task_run in document["tasks"]:
        for trial in task_run["trials"]:
            stage, rt_ms, correct, response, condition, time_elapsed_ms, extra = by_trial[
                task_run["task"], trial["trial_index"]
            ]
            shown = {
                **extra,
                "trial_index": trial["trial_index"],
                "exp_stage": stage,
                "rt": -1 if rt_ms is None else rt_ms,
                "time_elapsed": time_elapsed_ms,
            }
            shown |= {"correct": correct} if "correct" in trial else {}
            shown |= {"condition": condition} if "condition" in trial else {}
            shown |= {"response" if "response" in trial else "key_press": response}
            assert shown == trial

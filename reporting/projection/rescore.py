"""A scoring definition has a new version: what would change, and having it changed.

Scores are computed again from the rows of `trials`, one task run after the other as they stream from
Postgres: the site databases are not asked, and however many trials there are, few are in memory. Nothing is
written to `scores` from here. Whatever has to be scored again becomes a replay, so that rows stay what they
always are: one document's, written by the projector, in one transaction.

| what happens | outcome |
|---|---|
| a dry run | nothing is written |
| it is killed before its commit | no replay, no entry in `rescorings` |
| … after it | the projector works the replays off; a second run finds what is left |
| a session changes meanwhile | it is projected with the current definition anyway |
| it is asked for twice | the second finds nothing that differs |
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from reporting.documents.trials import Trial
from reporting.projection.replays import request_replays
from reporting.scoring import DEFINITIONS, Definition, definition_of, score_task_run
from reporting.scoring.difference import Difference, Stored

# One statement, one snapshot: trials and scores of a task run belong together. `json`, which keeps numbers as
# they are printed, and Postgres prints a float so that it reads back the same.
STORED_TASK_RUNS: Final = """
SELECT ran.site, ran.session_id, ran.run,
    (SELECT coalesce(json_agg(json_build_array(trial_index, stage, rt_ms, correct, response, condition,
                                               time_elapsed_ms, coalesce(extra, '{}'))
                              ORDER BY trial_index), '[]')::text
     FROM trials
     WHERE trials.site = ran.site AND trials.session_id = ran.session_id
       AND trials.task = ran.task AND trials.run = ran.run),
    (SELECT coalesce(json_object_agg(name, json_build_array(value, scoring_version)), '{}')::text
     FROM scores
     WHERE scores.site = ran.site AND scores.session_id = ran.session_id
       AND scores.task = ran.task AND scores.run = ran.run)
FROM task_runs AS ran JOIN sessions ON sessions.site = ran.site AND sessions.id = ran.session_id
WHERE ran.task = %(task)s AND sessions.source_missing_at IS NULL
ORDER BY ran.site, ran.session_id, ran.run
"""

COUNT_TASK_RUNS: Final = """
SELECT count(*)
FROM task_runs AS ran JOIN sessions ON sessions.site = ran.site AND sessions.id = ran.session_id
WHERE ran.task = %(task)s AND sessions.source_missing_at IS NULL
"""

RECORD_RESCORING: Final = """
INSERT INTO rescorings (task, scoring_version, requested_by, sessions, difference)
VALUES (%(task)s, %(version)s, %(requested_by)s, %(sessions)s, %(difference)s)
RETURNING id
"""

RESCORES_LEFT: Final = "SELECT count(*) FROM replays WHERE cause = 'rescore'"

_FETCHED_AT_ONCE: Final = 50

Tell = Callable[[int, int], None]
"""Is told how many task runs are compared, and of how many."""


class _TrialRow(msgspec.Struct, array_like=True):
    trial_index: int
    stage: str
    rt_ms: float | None
    correct: bool | None
    response: Any
    condition: str | None
    time_elapsed_ms: float | None
    extra: dict[str, Any]


class _TaskRun(NamedTuple):
    site: str
    session_id: str
    run: int
    trials: list[Trial]
    scores: Mapping[str, Stored]


_trials = msgspec.json.Decoder(list[_TrialRow])
_scores = msgspec.json.Decoder(dict[str, Stored])


def compare_scores(
    connection: psycopg.Connection,
    task: str,
    *,
    tell: Tell,
    definitions: Mapping[str, Definition] = DEFINITIONS,
) -> Difference:
    """What scoring `task` with the current definition would change. Nothing is written."""
    with connection.transaction(force_rollback=True):
        return _compare(connection, task, definitions, tell, None)


def request_rescoring(
    connection: psycopg.Connection,
    task: str,
    *,
    requested_by: str,
    tell: Tell,
    definitions: Mapping[str, Definition] = DEFINITIONS,
) -> Difference:
    """Have every session that differs scored again by the projector; the difference is kept in `rescorings`.

    Sessions that are gone from the site databases keep their scores: nothing can be projected of them.
    """
    with connection.transaction():
        replays = _Replays(connection, requested_by)
        difference = _compare(connection, task, definitions, tell, replays)
        replays.flush()
        if difference.sessions:
            row = {
                "task": task,
                "version": difference.new_version,
                "requested_by": requested_by,
                "sessions": difference.sessions,
                "difference": Jsonb(msgspec.to_builtins(difference)),
            }
            connection.execute(RECORD_RESCORING, row)
    return difference


def rescores_left(connection: psycopg.Connection) -> int:
    """How many sessions the projector has still to score again."""
    with connection.transaction():
        row = connection.execute(RESCORES_LEFT).fetchone()
    return int(row[0]) if row else 0


class _Replays:
    """Asked for when all are compared, which may take many minutes: a batch that asks for the same replay, or
    has worked it off, waits until the row is committed, and its site with it.
    """

    def __init__(self, connection: psycopg.Connection, requested_by: str) -> None:
        self._connection = connection
        self._requested_by = requested_by
        self._keys: dict[str, list[str]] = {}

    def add(self, site: str, session_id: str) -> None:
        self._keys.setdefault(site, []).append(f"session:{session_id}")

    def flush(self) -> None:
        for site, keys in self._keys.items():
            request_replays(self._connection, site, keys, cause="rescore", requested_by=self._requested_by)


def _compare(
    connection: psycopg.Connection,
    task: str,
    definitions: Mapping[str, Definition],
    tell: Tell,
    replays: "_Replays | None",
) -> Difference:
    difference = Difference(task, definition_of(task, definitions).version)
    counted = connection.execute(COUNT_TASK_RUNS, {"task": task}).fetchone()
    total = int(counted[0]) if counted else 0
    last: tuple[str, str] | None = None
    for task_run in _stored(connection, task):
        after = score_task_run(task, task_run.trials, definitions)
        session = (task_run.site, task_run.session_id)
        if difference.add(*session, task_run.run, task_run.scores, after) and session != last:
            difference.sessions += 1
            last = session
            if replays is not None:
                replays.add(*session)
        tell(difference.task_runs, total)
    return difference


def _stored(connection: psycopg.Connection, task: str) -> Iterator[_TaskRun]:
    with connection.cursor(name="stored_task_runs") as cursor:
        cursor.itersize = _FETCHED_AT_ONCE
        cursor.execute(STORED_TASK_RUNS, {"task": task})
        for site, session_id, run, trials, scores in cursor:
            decoded = [Trial(*msgspec.structs.astuple(row)) for row in _trials.decode(trials)]
            yield _TaskRun(site, session_id, run, decoded, _scores.decode(scores))

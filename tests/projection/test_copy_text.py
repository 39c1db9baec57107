"""What goes into COPY comes out of Postgres as it was."""

import math
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting import tables
from reporting.documents.trials import Trial
from reporting.projection import rows, statements
from reporting.projection.copy_text import encode_trials, row_encoder
from reporting.projection.rows import TaskRunTrials
from reporting.tables.base import Timestamp
from tests.documents.examples import nested

# Hypothesis runs many examples on one database; each one cleans up after itself.
one_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | st.text(
    st.sampled_from("\\\t\n\r\b\f\v\"'{},.N é"), max_size=12
)
numbers = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
trials = st.builds(
    Trial,
    trial_index=st.integers(-(2**31), 2**31 - 1),
    stage=texts,
    rt_ms=st.none() | st.floats(0, allow_infinity=False),
    correct=st.none() | st.booleans(),
    response=json_values,
    condition=st.none() | texts,
    time_elapsed_ms=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    extra=st.dictionaries(texts, json_values, max_size=4),
)


def copy_in(connection: psycopg.Connection, statement: str, lines: bytes) -> None:
    with connection.cursor().copy(statement.encode()) as copy:
        copy.write(lines)


def copy_trials(connection: psycopg.Connection, task_run: TaskRunTrials) -> None:
    lines = encode_trials(task_run)
    copy_in(connection, statements.COPY_TRIAL_ROWS, lines.rows)
    copy_in(connection, statements.COPY_TRIAL_EXTRAS, lines.extras)


def same_json(sent: Any, got: Any) -> bool:
    """jsonb keeps numbers as decimals: 1.0 is 1.0, 1e300 comes back as an integer of the same value."""
    if isinstance(sent, dict):
        return (
            isinstance(got, dict)
            and sent.keys() == got.keys()
            and all(same_json(sent[k], got[k]) for k in sent)
        )
    if isinstance(sent, list):
        return isinstance(got, list) and len(sent) == len(got) and all(map(same_json, sent, got))
    if isinstance(sent, float) and not isinstance(got, bool):
        return float(got) == sent
    return type(sent) is type(got) and bool(sent == got)


@one_database
@given(
    st.lists(trials, max_size=5, unique_by=lambda trial: trial.trial_index),
    texts.filter(bool),
    st.integers(-(2**31), 2**31 - 1),
)
def test_trials_come_back_as_they_were(
    connection: psycopg.Connection, sent: list[Trial], task: str, run: int
) -> None:
    with connection.transaction(force_rollback=True):
        copy_trials(connection, TaskRunTrials("lima", "s\t1", task, run, sent))
        got = connection.execute(
            "SELECT site, session_id, task, run, trial_index, stage, rt_ms, correct, response, condition,"
            " time_elapsed_ms, extra FROM trials ORDER BY trial_index"
        ).fetchall()
    assert len(got) == len(sent)
    for trial, row in zip(sorted(sent, key=lambda each: each.trial_index), got, strict=True):
        assert row[:6] == ("lima", "s\t1", task, run, trial.trial_index, trial.stage)
        assert (row[6], row[7], row[9]) == (trial.rt_ms, trial.correct, trial.condition)
        assert same_json(trial.response, row[8])
        assert row[10] == trial.time_elapsed_ms
        assert same_json(trial.extra, row[11])


scratch = Table(
    "scratch",
    MetaData(),
    Column("id", Text),
    Column("words", ARRAY(Text)),
    Column("value", JSONB),
    Column("number", tables.scores.c.value.type),
    Column("moment", Timestamp),
)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@one_database
@given(
    st.lists(
        st.tuples(
            st.none() | texts,
            st.lists(texts, max_size=3),
            json_values.filter(lambda value: value is not None),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | moments,
        ),
        max_size=4,
    )
)
def test_rows_of_any_column_type_come_back_as_they_were(
    connection: psycopg.Connection, sent: list[tuple[Any, ...]]
) -> None:
    columns = ("id", "words", "value", "number", "moment")
    lines = row_encoder(scratch, columns)(sent)
    with connection.transaction(force_rollback=True):
        connection.execute(
            "CREATE TEMPORARY TABLE scratch (position serial, id text, words text[], value jsonb,"
            " number double precision, moment timestamptz)"
        )
        copy_in(connection, "COPY scratch (id, words, value, number, moment) FROM STDIN", lines)
        got = connection.execute(
            "SELECT id, words, value, number, moment FROM scratch ORDER BY position"
        ).fetchall()
    assert [(*row[:2], *row[3:]) for row in got] == [(*row[:2], *row[3:]) for row in sent]
    assert all(same_json(ours[2], theirs[2]) for ours, theirs in zip(sent, got, strict=True))


def test_deeply_nested_member_reaches_jsonb(connection: psycopg.Connection) -> None:
    trial = Trial(trial_index=1, extra={"stimulus": nested(499)})
    with connection.transaction(force_rollback=True):
        copy_trials(connection, TaskRunTrials("lima", "s1", "simon", 1, [trial]))
        assert connection.execute("SELECT extra->'stimulus' FROM trials").fetchone() == (nested(499),)


def test_integer_beyond_float_is_kept_in_jsonb(connection: psycopg.Connection) -> None:
    trial = Trial(trial_index=1, response=10**4000, extra={"seed": -(10**400)})
    with connection.transaction(force_rollback=True):
        copy_trials(connection, TaskRunTrials("lima", "s1", "simon", 1, [trial]))
        assert connection.execute("SELECT response, extra->'seed' FROM trials").fetchone() == (
            10**4000,
            -(10**400),
        )


def test_smallest_and_largest_float_are_kept(connection: psycopg.Connection) -> None:
    sent = [
        Trial(trial_index=1, rt_ms=5e-324),
        Trial(trial_index=2, rt_ms=1.7976931348623157e308),
        Trial(trial_index=3, rt_ms=math.nextafter(983.0, 984.0)),
    ]
    with connection.transaction(force_rollback=True):
        copy_trials(connection, TaskRunTrials("lima", "s1", "simon", 1, sent))
        got = connection.execute("SELECT rt_ms FROM trials ORDER BY trial_index").fetchall()
    assert got == [(trial.rt_ms,) for trial in sent]


def test_task_run_without_trials_is_no_bytes() -> None:
    assert encode_trials(TaskRunTrials("lima", "s1", "simon", 1, [])) == (b"", b"")
    assert row_encoder(scratch, ("id",))([]) == b""


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        (statements.COPY_SESSIONS, rows.SessionRow._fields),
        (statements.COPY_TASK_RUNS, rows.TaskRunRow._fields),
        (statements.COPY_TRIAL_ROWS, tuple(tables.trial_rows.c.keys())),
        (statements.COPY_TRIAL_EXTRAS, tuple(tables.trial_extras.c.keys())),
        (statements.COPY_SCORES, rows.ScoreRow._fields),
        (statements.COPY_FLAGS, rows.FlagRow._fields),
        (statements.COPY_CONFLICTS, rows.ConflictRow._fields),
        (statements.COPY_QUARANTINE, rows.QuarantineRow._fields),
        (statements.COPY_DOCUMENTS, rows.DocumentRow._fields),
    ],
)
def test_copy_statement_names_the_columns_in_the_rows_order(statement: str, columns: tuple[str, ...]) -> None:
    named = statement[statement.index("(") + 1 : statement.index(")")]
    assert tuple(name.strip() for name in named.split(",")) == columns

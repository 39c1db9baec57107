"""Conditions from a query string: what is understood, and what is said of what is not."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from reporting.research.aggregates import read_summary
from reporting.research.datasets import DATASETS, TRIALS
from reporting.research.filters import MOST_VALUES, NoSuchFilter, Operator, period, read_filters


@pytest.mark.parametrize(
    ("dataset", "parameter", "text", "operator", "values"),
    [
        ("trials", "task", "stroop,simon", Operator.EQ, ("stroop,simon",)),
        ("trials", "task.in", "stroop,simon", Operator.IN, ("stroop", "simon")),
        ("trials", "task", "", Operator.EQ, ("",)),
        ("trials", "rt_ms.gte", "200", Operator.GTE, (200.0,)),
        ("trials", "run.lt", "-3", Operator.LT, (-3,)),
        ("trials", "correct", "false", Operator.EQ, (False,)),
        ("trials", "extra.null", "true", Operator.NULL, (True,)),
        ("visits", "due_on.gt", "2016-07-22", Operator.GT, (date(2016, 7, 22),)),
        ("sessions_wide", "started_at.gte", "2016-07-22", Operator.GTE, (datetime(2016, 7, 22, tzinfo=UTC),)),
        (
            "sessions_wide",
            "started_at.lte",
            "2016-07-22",
            Operator.LTE,
            (datetime(2016, 7, 22, 23, 59, 59, 999999, UTC),),
        ),
        (
            "sessions_wide",
            "started_at",
            "2016-07-22T03:00:00 02:00",
            Operator.EQ,
            (datetime(2016, 7, 22, 1, tzinfo=UTC),),
        ),
        ("sessions_wide", "status.ne", "completed", Operator.NE, ("completed",)),
    ],
)
def test_a_condition_is_read_by_the_type_of_its_column(
    dataset: str, parameter: str, text: str, operator: Operator, values: tuple[Any, ...]
) -> None:
    (found,) = read_filters(DATASETS[dataset], [(parameter, text)])
    assert (found.variable.name, found.operator, found.values) == (
        parameter.partition(".")[0],
        operator,
        values,
    )


@pytest.mark.parametrize(
    ("parameter", "text", "said"),
    [
        ("rt", "200", "has no column rt"),
        ("rt_ms.above", "200", "rt_ms.gte"),
        ("rt_ms.null", "1", "true or false"),
        ("rt_ms", "fast", "not a number"),
        ("rt_ms", "inf", "not a number"),
        ("run", "2147483648", "not a whole number"),
        ("run", "1.5", "not a whole number"),
        ("correct", "1", "not true or false"),
        ("correct.gte", "true", "correct.eq, correct.null"),
        ("extra", "{}", "extra.null"),
        ("task", "a\0", "could be stored"),
        ("task", "\ud800", "could be stored"),
        ("task.in", "a," * MOST_VALUES, "200 values at most"),
    ],
)
def test_a_condition_that_is_not_understood_is_an_error_that_says_what_would_be(
    parameter: str, text: str, said: str
) -> None:
    with pytest.raises(NoSuchFilter, match=said) as refused:
        read_filters(TRIALS, [(parameter, text)])
    assert refused.value.details["parameter"] == parameter


def test_a_value_that_a_closed_list_has_not_a_moment_that_is_none_and_a_condition_twice_are_refused() -> None:
    wide = DATASETS["sessions_wide"]
    with pytest.raises(NoSuchFilter, match="in_progress, completed, abandoned"):
        read_filters(wide, [("status", "done")])
    for moment in ("2016-07-22", "2016-07-22T03:00:00", "0001-01-01T00:00:00+14:00", "yesterday"):
        with pytest.raises(NoSuchFilter, match="a time with its zone"):
            read_filters(wide, [("started_at", moment)])
    with pytest.raises(NoSuchFilter, match="given twice"):
        read_filters(wide, [("status", "completed"), ("status.eq", "abandoned")])


@pytest.mark.parametrize(
    ("dataset", "name"), [("trials", "started_at"), ("visits", "due_on"), ("participants", "enrolled_on")]
)
def test_from_and_to_bound_what_a_dataset_is_about(dataset: str, name: str) -> None:
    found = period(DATASETS[dataset], "2016-07-22", "2016-07-23")
    assert [(each.variable.name, each.operator) for each in found] == [(name, "gte"), (name, "lte")]


@pytest.mark.parametrize(
    ("group_by", "aggregate", "said"),
    [
        ("nothing", None, "no column nothing"),
        ("extra", None, "it is JSON"),
        (None, "mode:rt_ms", "no aggregate mode; there are count"),
        (None, "mean", "Say mean:<column>"),
        (None, "mean:task", "not computed of task"),
        (None, "p101:rt_ms", "no aggregate p101"),
        (None, "p10:correct", "not computed of correct"),
        ("task", "count,count", "asked for twice"),
        (",".join(list(TRIALS.by_name)[:7]), None, "6 columns at most"),
    ],
)
def test_a_summary_that_cannot_be_is_refused(group_by: str | None, aggregate: str | None, said: str) -> None:
    with pytest.raises(NoSuchFilter, match=said):
        read_summary(TRIALS, group_by, aggregate)

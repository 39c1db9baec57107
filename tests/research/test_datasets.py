"""The list of datasets: complete, labelled, in step with what it describes, and with names that stay."""

import re
from typing import get_args

import pytest
from sqlalchemy import CheckConstraint, Table

from reporting import tables
from reporting.documents.kinds import SessionStatus
from reporting.participants.rules import Status
from reporting.quality import RULES
from reporting.quality.registry import Level, Subject
from reporting.research.datasets import DATASETS, KEPT_MEMBERS, find_dataset
from reporting.research.shared_variables import (
    CANCELLED_CAUSE,
    FLAG_CODE,
    FLAG_SUBJECT,
    LEVEL,
    PARTICIPANT_STATUS,
    SESSION_STATUS,
    VISIT_STATE,
)
from reporting.research.variables import (
    LONGEST_LABEL,
    LONGEST_NAME,
    Dataset,
    Identifying,
    Rule,
    Type,
    Value,
    Variable,
)
from reporting.visits.schedule import Cause, State

ALL = [
    pytest.param(dataset, variable, id=f"{dataset.name}.{variable.name}")
    for dataset in DATASETS.values()
    for variable in dataset.variables
]

# Researchers' scripts hold these names. Add to them; a name that goes breaks somebody's analysis.
NAMES = {
    "sessions_wide": """study site participant visit session_id status started_at started_day ended_at
        duration_s language battery_id battery_version flags_info flags_warning flags_serious
        conflicts_open""",
    "scores_long": """study site participant visit session_id started_at started_day task run score value
        scoring_version""",
    "trials": """study site participant visit session_id task run trial_index stage rt_ms correct response
        condition time_elapsed_ms extra""",
    "participants": """study participant site status language enrolled_on redcap_id sessions
        sessions_completed visits_completed""",
    "visits": """study site participant visit state due_on due_day window_from window_to completed_on
        completed_day in_window session_count session_site session_id moved cancelled_cause""",
    "quality": """study site participant visit session_id task run trial_index code subject level rule_version
        detail""",
    "provenance": """study site participant visit session_id rev schema device_id device_model device_os
        app_version utc_offset_minutes clock_offset_s received_at losing_revisions corrections conflicts_open
        conflicts_resolved""",
}


def test_the_datasets_and_their_variables_are_these_and_no_name_comes_twice() -> None:
    assert list(DATASETS) == list(NAMES)
    for name, dataset in DATASETS.items():
        names = [variable.name for variable in dataset.variables if variable.task is None]
        assert names == NAMES[name].split()
        assert len(dataset.by_name) == len(dataset.variables)


@pytest.mark.parametrize(("dataset", "variable"), ALL)
def test_a_variable_has_a_name_and_labels_that_every_format_takes(
    dataset: Dataset, variable: Variable
) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", variable.name)
    assert len(variable.name) <= LONGEST_NAME
    for label in (variable.label, *(value.label for value in variable.values)):
        assert 0 < len(label.in_language("en")) <= LONGEST_LABEL
        assert 0 < len(label.in_language("fr")) <= LONGEST_LABEL
    assert variable.comment.startswith(variable.label.en)
    assert variable.values == () or variable.type is Type.TEXT


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_a_key_is_made_of_variables_that_are_never_missing_but_those_it_names(dataset: Dataset) -> None:
    for name in dataset.key:
        variable = dataset.find(name)
        assert variable is not None
        assert (variable.missing is None) == (name not in dataset.nullable_key)
        assert variable.rule in {Rule.KEEP, Rule.PSEUDONYM, Rule.KEY}
    assert set(dataset.nullable_key) <= set(dataset.key)


@pytest.mark.parametrize(("dataset", "variable"), ALL)
def test_what_identifies_has_a_rule_and_what_has_a_rule_identifies(
    dataset: Dataset, variable: Variable
) -> None:
    if variable.identifying is Identifying.DIRECT:
        assert variable.rule in {Rule.PSEUDONYM, Rule.WITHHOLD}
    if variable.rule is not Rule.KEEP:
        assert variable.identifying is not Identifying.NO
    # A date or free JSON without a rule would pass through every policy.
    if variable.type in {Type.DATE, Type.TIMESTAMP}:
        assert variable.rule in {Rule.DATE, Rule.CLOCK}
    if variable.type is Type.JSON:
        assert variable.rule in {Rule.JUDGED, Rule.MEMBERS, Rule.WITHHOLD}


def test_a_variable_of_several_datasets_is_the_same_in_all_but_for_what_missing_means() -> None:
    found: dict[str, set[tuple[Type, object, Identifying, Rule]]] = {}
    for dataset in DATASETS.values():
        for variable in dataset.variables:
            same = variable.type, variable.unit, variable.identifying, variable.rule
            found.setdefault(variable.name, set()).add(same)
    assert {name for name, kinds in found.items() if len(kinds) > 1} == set()


@pytest.mark.parametrize(
    ("values", "known"),
    [
        (SESSION_STATUS, get_args(SessionStatus)),
        (PARTICIPANT_STATUS, get_args(Status)),
        (VISIT_STATE, get_args(State)),
        (CANCELLED_CAUSE, get_args(Cause)),
        (LEVEL, tuple(level.value for level in Level)),
        (FLAG_SUBJECT, tuple(subject.value for subject in Subject)),
        (FLAG_CODE, tuple(RULES)),
    ],
)
def test_allowed_values_are_those_that_the_code_writes(
    values: tuple[Value, ...], known: tuple[str, ...]
) -> None:
    assert [value.code for value in values] == list(known)


@pytest.mark.parametrize(
    ("table", "name", "values"),
    [
        (tables.participants, "status_known", PARTICIPANT_STATUS),
        (tables.visits, "state_known", VISIT_STATE),
        (tables.visits, "cancelled_cause_known", CANCELLED_CAUSE),
    ],
)
def test_allowed_values_are_those_that_the_tables_take(
    table: Table, name: str, values: tuple[Value, ...]
) -> None:
    checks = [
        str(check.sqltext)
        for check in table.constraints
        if isinstance(check, CheckConstraint) and str(check.name).endswith(name)
    ]
    assert [set(re.findall(r"'([^']*)'", check)) for check in checks] == [{value.code for value in values}]


def test_a_name_that_is_none_is_no_error_but_none() -> None:
    assert find_dataset("sessions") is None
    trials = find_dataset("trials")
    assert trials is not None
    assert trials.find("rt") is None
    assert trials.find("rt_ms") is trials.variables[9]


def test_members_kept_of_extra_are_in_order_and_once() -> None:
    assert list(KEPT_MEMBERS) == sorted(set(KEPT_MEMBERS))

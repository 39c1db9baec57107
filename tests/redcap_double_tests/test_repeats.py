"""Repeating forms and events: where rows go, and how they come back."""

from collections.abc import Iterator
from typing import Any

import pytest
from redcap.request import RedcapError

from tests.redcap_double.building import build_project
from tests.redcap_double.dictionary import Field
from tests.redcap_double.double import Double
from tests.redcap_double.fixtures import Running
from tests.redcap_double.running import running_in_thread

SESSION = {
    "record_id": "1",
    "redcap_event_name": "baseline_arm_1",
    "redcap_repeat_instrument": "cog_session",
}


@pytest.fixture
def unplanned() -> Iterator[Running]:
    """One usual event, and one that repeats as a whole."""
    fields = [Field("record_id", "person"), Field("age", "person"), Field("score", "battery")]
    project = build_project(
        fields,
        events={"baseline_arm_1": ["person"], "unplanned_arm_1": ["battery"]},
        repeating={"unplanned_arm_1": None},
    )
    double = Double([project])
    with running_in_thread(double) as address:
        yield Running(double, address)


def _error(running: Running, row: dict[str, Any]) -> str:
    with pytest.raises(RedcapError) as refused:
        running.client().import_records([row])
    return str(refused.value.args[0]["error"])


def test_new_takes_the_next_instance_each_time_that_it_is_sent(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([{**SESSION, "redcap_repeat_instance": 3, "cog_trials": "1"}])
    new = {**SESSION, "redcap_repeat_instance": "new"}
    for _ in range(2):
        client.import_records([{**new, "cog_trials": "7"}, {**new, "cog_trials": "8"}])

    records = redcap_double.project.records
    assert records.instances("1", "baseline_arm_1", "cog_session") == [3, 4, 5, 6, 7]
    assert redcap_double.double.values("1", form="cog_session", instance=5) == {"cog_trials": "8"}


def test_rows_of_a_repeating_form_have_their_own_values_only(redcap_double: Running) -> None:
    client = redcap_double.client()
    base = {"record_id": "1", "redcap_event_name": "baseline_arm_1"}
    client.import_records(
        [
            {**base, "age": "41", "demographics_complete": "2"},
            {**SESSION, "redcap_repeat_instance": 2, "cog_trials": "4", "cog_flags___2": "1"},
        ]
    )
    fields = ["record_id", "age", "cog_trials", "cog_flags", "demographics_complete", "cog_session_complete"]
    assert client.export_records(fields=fields) == [
        {
            **base,
            "redcap_repeat_instrument": "",
            "redcap_repeat_instance": "",
            "age": "41",
            "demographics_complete": "2",
            "cog_trials": "",
            "cog_flags___1": "",
            "cog_flags___2": "",
            "cog_session_complete": "",
        },
        {
            **SESSION,
            "redcap_repeat_instance": 2,
            "age": "",
            "demographics_complete": "",
            "cog_trials": "4",
            "cog_flags___1": "0",
            "cog_flags___2": "1",
            "cog_session_complete": "0",
        },
    ]
    only = client.export_records(fields=["record_id", "cog_session_uid"])
    assert [row["redcap_repeat_instance"] for row in only] == [2]


def test_a_row_that_names_its_repeat_wrongly_is_refused(redcap_double: Running) -> None:
    base = {"record_id": "1", "redcap_event_name": "baseline_arm_1"}
    lines = _error(
        redcap_double,
        {**base, "redcap_repeat_instrument": "demographics", "redcap_repeat_instance": 3, "age": "4"},
    ).split("\n")
    assert lines[0].startswith(
        '"1","redcap_repeat_instrument","demographics","redcap_repeat_instrument must be the unique form name'
    )
    assert lines[1].startswith('"1","redcap_repeat_instance","3","redcap_repeat_instance cannot have a value')

    text = _error(redcap_double, {**base, "cog_trials": "4"})
    assert text.startswith(
        '"1","cog_trials","4","This field (\'cog_trials\') exists on a Repeating Instrument'
    )
    text = _error(redcap_double, {**SESSION, "redcap_repeat_instance": 1, "age": "41"})
    assert text.startswith('"1","age","41",')
    for instance in ("0", "-1", "1.5", "first", "99999"):
        text = _error(redcap_double, {**SESSION, "redcap_repeat_instance": instance, "cog_trials": "4"})
        assert text.startswith(f'"1","redcap_repeat_instance","{instance}",')


def test_a_repeating_form_without_an_instance_is_the_first(redcap_double: Running) -> None:
    redcap_double.client().import_records([{**SESSION, "cog_trials": "4"}])
    assert redcap_double.double.values("1", form="cog_session", instance=1) == {"cog_trials": "4"}


def test_a_repeating_event_has_instances_without_an_instrument(unplanned: Running) -> None:
    client = unplanned.client()
    row = {"record_id": "1", "redcap_event_name": "unplanned_arm_1"}
    client.import_records([{**row, "redcap_repeat_instance": 2, "score": "5"}])
    client.import_records([{**row, "redcap_repeat_instance": "new", "score": "6"}])
    client.import_records([{**row, "score": "4"}])

    found = client.export_records(fields=["score"])
    assert [
        (row["redcap_repeat_instrument"], row["redcap_repeat_instance"], row["score"]) for row in found
    ] == [
        ("", 1, "4"),
        ("", 2, "5"),
        ("", 3, "6"),
    ]
    assert client.export_repeating_instruments_events() == [
        {"event_name": "unplanned_arm_1", "form_name": "", "custom_form_label": ""}
    ]
    text = _error(unplanned, {"record_id": "1", "redcap_repeat_instance": 2, "age": "4"})
    assert text.startswith('"1","redcap_repeat_instance","2",')

"""Imports of records, by PyCap: what is written, what is refused, what is answered."""

import json
from typing import Any

import pytest
import requests
from redcap.request import RedcapError

from tests.redcap_double.fixtures import Running

BASE = {"redcap_event_name": "baseline_arm_1"}
SESSION = {**BASE, "redcap_repeat_instrument": "cog_session"}


def _refused(running: Running, *rows: dict[str, Any], **options: Any) -> str:
    """The text of the error; nothing may have been written."""
    before = {place: dict(row) for place, row in running.project.records.rows.items()}
    seen: list[int] = []
    client = running.client(hooks={"response": lambda response, *_, **__: seen.append(response.status_code)})
    with pytest.raises(RedcapError) as refused:
        client.import_records(list(rows), **options)
    assert seen == [400]
    assert running.project.records.rows == before
    return str(refused.value.args[0]["error"])


def _post(running: Running, **parameters: str) -> requests.Response:
    return requests.post(running.url, data={"token": running.token, **parameters}, timeout=20)


def test_rows_are_written_and_distinct_records_are_counted(redcap_double: Running) -> None:
    client = redcap_double.client()
    rows = [
        {"record_id": "1", **BASE, "sex": "2", "demographics_complete": 2},
        {"record_id": 1, **SESSION, "redcap_repeat_instance": 1, "cog_srt_ms": "312.4", "cog_flags___2": 1},
        {"record_id": "2", **BASE, "age": 41},
    ]

    assert client.import_records(rows) == {"count": 2}

    double = redcap_double.double
    assert double.values("1") == {"sex": "2", "demographics_complete": "2"}
    session = double.values("1", form="cog_session", instance=1)
    assert session == {"cog_srt_ms": "312.4", "cog_flags___2": "1"}
    assert double.values("2") == {"age": "41"}


def test_the_answer_has_the_form_asked_for(redcap_double: Running) -> None:
    client = redcap_double.client()
    rows = [{"record_id": "a", **BASE, "age": "1"}, {"record_id": "b", **BASE, "age": "1"}]
    assert client.import_records(rows, return_content="ids") == ["a", "b"]
    assert client.import_records(rows, return_content="nothing") == [{}]
    assert client.import_records(rows, return_content="count", return_format_type="csv") == "2"
    assert (
        "<error>" in _post(redcap_double, content="record", format="json", data="[", returnFormat="xml").text
    )
    assert _post(redcap_double, content="record", format="csv", data="record_id,nope\n1,2").text.startswith(
        "ERROR: "
    )


def test_an_object_in_place_of_a_list_counts_nothing_and_is_no_error(redcap_double: Running) -> None:
    row = {"record_id": "1", **BASE, "age": "41"}
    answer = _post(redcap_double, content="record", format="json", data=json.dumps(row))
    assert (answer.status_code, answer.json()) == (200, {"count": 0})
    assert redcap_double.project.records.rows == {}


def test_a_row_without_its_records_name_is_passed_over(redcap_double: Running) -> None:
    assert redcap_double.client().import_records([{**BASE, "age": "41"}]) == {"count": 0}


def test_a_row_without_a_value_makes_a_record_but_no_instance(redcap_double: Running) -> None:
    client = redcap_double.client()
    rows = [{"record_id": "1", **BASE}, {"record_id": "1", **SESSION, "redcap_repeat_instance": 4}]
    assert client.import_records(rows, return_content="ids") == ["1"]
    assert redcap_double.project.records.names() == ["1"]
    assert redcap_double.project.records.instances("1", "baseline_arm_1", "cog_session") == []
    assert [row["action"] for row in client.export_logging()] == ["Create record (API) 1"]


def test_broken_json_is_refused(redcap_double: Running) -> None:
    answer = _post(redcap_double, content="record", format="json", data="[{", returnFormat="json")
    assert answer.status_code == 400
    assert "not formatted correctly" in answer.json()["error"]


def test_one_bad_value_stops_the_request_and_each_has_a_line_without_its_instance(
    redcap_double: Running,
) -> None:
    text = _refused(
        redcap_double,
        {"record_id": "1", **BASE, "age": "41"},
        {"record_id": "1", **SESSION, "redcap_repeat_instance": 3, "cog_srt_ms": "22", "cog_trials": "x"},
        {"record_id": "2", **BASE, "sex": 'say "7"'},
    )
    format_text = (
        "The value you provided could not be validated because it does not follow the expected format. "
        "Please try again."
    )
    assert text.split("\n") == [
        f'"1","cog_srt_ms","22","{format_text}"',
        f'"1","cog_trials","x","{format_text}"',
        '"2","sex","say ""7""","The value is not a valid category for sex"',
    ]


def test_a_whole_number_loses_its_point_in_json_and_is_no_number_with_one_decimal(
    redcap_double: Running,
) -> None:
    row = {"record_id": "1", **SESSION, "redcap_repeat_instance": 1, "cog_srt_ms": 22.0}
    assert '"cog_srt_ms","22",' in _refused(redcap_double, row)
    redcap_double.client().import_records([{**row, "cog_srt_ms": "22.0"}])


def test_some_versions_name_the_event_in_the_lines(redcap_double: Running) -> None:
    redcap_double.double.names_event = True
    text = _refused(redcap_double, {"record_id": "1", **BASE, "age": "x"})
    assert text.startswith('"1 (baseline_arm_1)","age","x",')


def test_unknown_fields_and_events_are_named(redcap_double: Running) -> None:
    rows = ({"record_id": "1", **BASE, "foo": "1"}, {"record_id": "1", **BASE, "baz": "2"})
    assert _refused(redcap_double, *rows) == (
        "The following fields were not found in the project as real data fields: foo, baz"
    )
    row = {"record_id": "1", "redcap_event_name": "visit_9_arm_1", "age": "1"}
    assert _refused(redcap_double, row) == (
        "The following values of redcap_event_name are invalid: visit_9_arm_1"
    )
    row = {"record_id": "1", "redcap_event_name": "retest_arm_1", "age": "41"}
    assert _refused(redcap_double, row).startswith('"1","age","41",')


def test_without_an_event_a_row_goes_to_the_first_silently(redcap_double: Running) -> None:
    assert redcap_double.client().import_records([{"record_id": "1", "age": "41"}]) == {"count": 1}
    assert redcap_double.double.values("1", event="baseline_arm_1") == {"age": "41"}


def test_minimum_and_required_are_not_enforced_and_calc_and_file_are_dropped(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([{"record_id": "1", **BASE, "age": "3", "scan": "x.pdf"}])
    client.import_records(
        [{"record_id": "1", **SESSION, "redcap_repeat_instance": 1, "cog_trials": "4", "cog_total": "9"}]
    )
    assert redcap_double.double.values("1") == {"age": "3"}
    assert redcap_double.double.values("1", form="cog_session", instance=1) == {"cog_trials": "4"}


def test_blank_values_erase_only_where_asked(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    client.import_records([{"record_id": "1", **BASE, "age": "41", "sex": "1"}])
    client.import_records([{"record_id": "1", **BASE, "age": "", "sex": "2"}])
    assert double.values("1") == {"age": "41", "sex": "2"}
    client.import_records([{"record_id": "1", **BASE, "age": ""}], overwrite="overwrite")
    assert double.values("1") == {"sex": "2"}


def test_a_box_is_unticked_by_0_and_by_blank_only_where_asked(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    row = {"record_id": "1", **SESSION, "redcap_repeat_instance": 1}
    client.import_records([{**row, "cog_flags___1": "1", "cog_flags___2": "1"}])
    client.import_records([{**row, "cog_flags___1": "0", "cog_flags___2": ""}])
    assert double.values("1", form="cog_session", instance=1) == {"cog_flags___2": "1"}


def test_an_unchanged_import_is_counted_and_leaves_no_line_in_the_log(redcap_double: Running) -> None:
    client = redcap_double.client()
    row = {"record_id": "1", **SESSION, "redcap_repeat_instance": 2, "cog_trials": "4", "cog_flags___1": "0"}
    client.import_records([row])
    first = client.export_logging(log_type="record")
    assert client.import_records([row]) == {"count": 1}
    assert client.export_logging(log_type="record") == first
    assert len(first) == 1
    assert first[0]["action"] == "Create record (API) 1"
    assert first[0]["details"] == "[instance = 2],\ncog_trials = '4'"

    client.import_records([{**row, "cog_trials": "5"}])
    assert client.export_logging(log_type="record_edit")[0]["details"] == "[instance = 2],\ncog_trials = '5'"


def test_records_are_numbered_where_asked(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([{"record_id": "7", **BASE, "age": "1"}])
    assert client.generate_next_record_name() == "8"
    rows = [{"record_id": "0", **BASE, "age": "2"}, {"record_id": "1", **BASE, "age": "3"}]
    assert client.import_records(rows, force_auto_number=True, return_content="auto_ids") == ["8,0", "9,1"]
    assert redcap_double.double.values("9") == {"age": "3"}


def test_csv_is_imported_too(redcap_double: Running) -> None:
    text = "record_id,redcap_event_name,age\n1,baseline_arm_1,41\n2,baseline_arm_1,42\n"
    assert redcap_double.client().import_records(text, import_format="csv") == {"count": 2}
    assert redcap_double.double.values("2") == {"age": "42"}


def test_dates_come_in_the_format_that_the_request_names(redcap_double: Running) -> None:
    redcap_double.client().import_records(
        [{"record_id": "1", **BASE, "birth_date": "31/12/1980"}], date_format="DMY"
    )
    assert redcap_double.double.values("1") == {"birth_date": "1980-12-31"}
    assert '"birth_date","31/12/1980","Invalid date format' in _refused(
        redcap_double, {"record_id": "1", **BASE, "birth_date": "31/12/1980"}
    )


def test_a_locked_form_or_record_is_refused_by_a_text_that_says_so(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    client.import_records([{"record_id": "1", **BASE, "age": "41"}])
    double.lock_form("1", "cog_session", event="baseline_arm_1", instance=2)
    row = {"record_id": "1", **SESSION, "cog_trials": "4"}
    assert _refused(redcap_double, {**row, "redcap_repeat_instance": 2}) == (
        '"1","cog_trials","4","This field is located on a form that is locked. '
        'You must first unlock this form for this record."'
    )
    client.import_records([{**row, "redcap_repeat_instance": 1}])

    double.lock_record("1")
    assert '"1","cog_trials","4","This record is locked.' in _refused(
        redcap_double, {**row, "redcap_repeat_instance": 9}
    )
    double.unlock("1")
    client.import_records([{**row, "redcap_repeat_instance": 2}])

"""Exports of records, by PyCap: rows, columns, filters, rights."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from redcap.request import RedcapError

from tests.redcap_double.building import build_project
from tests.redcap_double.dictionary import Field
from tests.redcap_double.double import Double
from tests.redcap_double.fixtures import Running
from tests.redcap_double.project import DE_IDENTIFIED, NO_IDENTIFIERS
from tests.redcap_double.running import running_in_thread

BASE = {"redcap_event_name": "baseline_arm_1"}


def _person(record: str, **values: str) -> dict[str, str]:
    return {"record_id": record, **BASE, **values}


def test_a_classic_project_has_no_columns_of_events_and_repeats() -> None:
    project = build_project(
        [Field("id", "person"), Field("age", "person"), Field("about", "person", "descriptive")]
    )
    double = Double([project])
    with running_in_thread(double) as address:
        client = Running(double, address).client()
        client.import_records([{"id": "1", "age": "41", "redcap_repeat_instance": ""}])
        assert client.export_records() == [{"id": "1", "age": "41", "person_complete": "0"}]
        gray = client.export_records(export_blank_for_gray_form_status=True)
        assert gray == [{"id": "1", "age": "41", "person_complete": ""}]
        assert client.export_records(format_type="csv") == "id,age,person_complete\n1,41,0\n"
        assert client.export_records(records=["2"]) == []


def test_records_come_in_order_and_unknown_ones_are_left_out_silently(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([_person(name, age="1") for name in ("10", "9", "x")])
    assert [row["record_id"] for row in client.export_records()] == ["9", "10", "x"]
    assert [row["record_id"] for row in client.export_records(records=["x", "9", "404"])] == ["9", "x"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"fields": ["specimen"]},
            "The following values in the parameter \"fields\" are not valid: 'specimen'",
        ),
        ({"forms": ["blood"]}, "are not valid: 'blood_complete'"),
        ({"events": ["visit_9_arm_1"]}, "parameter \"events\" are not valid: 'visit_9_arm_1'"),
        ({"filter_logic": "[age] + 1 = 3"}, "does not understand this filterLogic"),
        ({"filter_logic": '[age] = "1" and [sex] = "2" or [age] = "3"'}, "does not understand"),
        ({"filter_logic": "[nothing] = 1"}, "a field that is not in the project: [nothing]"),
    ],
)
def test_what_is_not_in_the_project_is_refused(
    redcap_double: Running, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(RedcapError) as refused:
        redcap_double.client().export_records(**options)
    assert text in refused.value.args[0]["error"]


@pytest.mark.parametrize(
    ("logic", "records"),
    [
        ('[screening_code] = "A-1"', ["1"]),
        ("[screening_code]='A-2'", ["2"]),
        ("[age] > 9", ["1", "2"]),
        ('[age] >= "9" and [sex] = 1', ["3"]),
        ('[age] = "9" OR [screening_code] = "A-1"', ["1", "3"]),
        ('[baseline_arm_1][age] <> "10"', ["2", "3"]),
        ('[record_id] = "2"', ["2"]),
        ('[sex] = ""', ["1", "2"]),
        ('[habits(NO-ONE)] = "1"', ["2"]),
        ("[habits(NO-ONE)] = '0' and [age] < 11", ["1", "3"]),
    ],
)
def test_filter_logic_compares_fields_with_values(
    redcap_double: Running, logic: str, records: list[str]
) -> None:
    client = redcap_double.client()
    habits = Field("habits", "demographics", "checkbox", choices="NO-ONE, Nobody | 2, Many")
    redcap_double.double.edit_dictionary(lambda dictionary: dictionary.with_field(habits))
    client.import_records(
        [
            _person("1", screening_code="A-1", age="10"),
            _person("2", screening_code="A-2", age="11", habits___no_one="1"),
            _person("3", screening_code="A-3", age="9", sex="1"),
        ]
    )
    assert [row["record_id"] for row in client.export_records(filter_logic=logic)] == records


def test_the_records_name_and_what_goes_with_it_are_columns_only_if_asked_for(redcap_double: Running) -> None:
    redcap_double.client().import_records([_person("1", age="41")])

    def row(**asked: str) -> dict[str, str]:
        data = {"token": redcap_double.token, "content": "record", "format": "json", **asked}
        rows: list[dict[str, str]] = requests.post(redcap_double.url, data=data, timeout=20).json()
        return rows[0]

    assert row(fields="age") == {"age": "41"}
    assert list(row(fields="age,record_id")) == [
        "record_id",
        "redcap_event_name",
        "redcap_repeat_instrument",
        "redcap_repeat_instance",
        "age",
    ]
    assert "record_id" in row(forms="demographics")
    data = {"token": redcap_double.token, "content": "record", "format": "json", "forms": "blood"}
    assert requests.post(redcap_double.url, data={**data, "returnFormat": "json"}, timeout=20).json() == {
        "error": "The following values in the parameter \"forms\" are not valid: 'blood'"
    }


def test_labels_stand_for_codes_where_asked(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([_person("1", sex="2", consented="1", demographics_complete="2")])
    row = client.export_records(raw_or_label="label", forms=["demographics"])[0]
    assert (row["sex"], row["consented"], row["demographics_complete"]) == ("Male", "Yes", "Complete")
    assert row["redcap_event_name"] == "Baseline"


def test_records_changed_in_a_range_of_server_time_are_found(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    moment = datetime(2026, 3, 1, 12)  # noqa: DTZ001 (server time has no zone)
    for hour, record in enumerate(("1", "2", "3")):
        double.clock = lambda hour=hour: moment + timedelta(hours=hour)  # type: ignore[misc]
        client.import_records([_person(record, age="1")])

    def found(**bounds: Any) -> list[str]:
        return [row["record_id"] for row in client.export_records(**bounds)]

    assert found(date_begin=moment + timedelta(hours=1)) == ["2", "3"]
    assert found(date_end=moment + timedelta(minutes=30)) == ["1"]
    assert found(date_begin=moment, date_end=moment + timedelta(hours=1)) == ["1", "2"]
    double.clock = lambda: moment + timedelta(days=1)
    client.import_records([_person("1", age="1")])
    assert found(date_begin=moment + timedelta(hours=5)) == []
    client.import_records([_person("1", age="2")])
    assert found(date_begin=moment + timedelta(hours=5)) == ["1"]


def test_groups_are_a_column_where_asked_and_bound_what_their_users_see(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    client.import_records(
        [_person("1", age="1", redcap_data_access_group="north_site"), _person("2", age="2")]
    )
    assert "redcap_data_access_group" not in client.export_records()[0]
    rows = client.export_records(export_data_access_groups=True)
    assert [row["redcap_data_access_group"] for row in rows] == ["north_site", ""]
    assert client.export_dags()[1] == {
        "data_access_group_name": "South Site",
        "unique_group_name": "south_site",
        "data_access_group_id": 16,
    }

    double.project.users[0].group = "north_site"
    assert [row["record_id"] for row in client.export_records()] == ["1"]
    with pytest.raises(RedcapError, match="does not belong to your Data Access Group"):
        client.import_records([_person("2", age="3")])
    rows = [_person("0", age="3")]
    assert client.import_records(rows, force_auto_number=True, return_content="auto_ids") == ["15-1,0"]
    assert double.project.records.groups == {"1": "north_site", "15-1": "north_site"}

    double.project.users[0].data_access_groups = False
    with pytest.raises(RedcapError, match="'Data Access Groups' privileges"):
        client.export_records(export_data_access_groups=True)


def test_rights_of_export_take_columns_away(redcap_double: Running) -> None:
    client, user = redcap_double.client(), redcap_double.project.users[0]
    client.import_records([_person("1", email="a@example.org", notes="tall", age="41")])
    user.data_export = NO_IDENTIFIERS
    row = client.export_records()[0]
    assert {"email", "phone", "birth_date"}.isdisjoint(row)
    assert {"notes", "age", "record_id"} <= set(row)
    user.data_export = DE_IDENTIFIED
    row = client.export_records()[0]
    assert {"email", "notes", "screening_code"}.isdisjoint(row)
    assert {"age", "record_id"} <= set(row)


def test_records_their_forms_and_their_instances_are_deleted(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    session = {"redcap_repeat_instrument": "cog_session", "cog_trials": "1"}
    client.import_records(
        [_person("1", age="1"), _person("2", age="2")]
        + [_person("1", **session, redcap_repeat_instance=number) for number in ("1", "2")]
    )
    assert client.delete_records(["1"], instrument="cog_session", repeat_instance=1) == 1
    assert double.project.records.instances("1", "baseline_arm_1", "cog_session") == [2]
    assert client.delete_records(["1"], instrument="demographics", event="baseline_arm_1") == 1
    assert double.values("1") == {}
    assert client.delete_records(["1", "2"]) == 2
    assert double.project.records.rows == {}
    with pytest.raises(RedcapError, match="do not exist: 1"):
        client.delete_records(["1"])


def test_a_plain_form_may_write_its_lists_and_booleans_in_any_spelling(redcap_double: Running) -> None:
    redcap_double.client().import_records([_person(name, age="1") for name in ("1", "2", "3")])
    base = {"token": redcap_double.token, "content": "record", "format": "json", "fields": "record_id"}
    for records in (["records[0]", "1", "records[1]", "3"], ["records[]", "1", "records[]", "3"]):
        pairs = [*base.items(), *zip(records[::2], records[1::2], strict=True)]
        rows = requests.post(redcap_double.url, data=pairs, timeout=20).json()
        assert [row["record_id"] for row in rows] == ["1", "3"]
    rows = requests.post(redcap_double.url, data={**base, "records": "2,3"}, timeout=20).json()
    assert [row["record_id"] for row in rows] == ["2", "3"]

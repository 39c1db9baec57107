"""What a project tells of itself, its files and its rights, by PyCap."""

import io
from collections.abc import Callable

import pytest
import requests
from redcap.project import Project as Client
from redcap.request import RedcapError

from tests.redcap_double.building import TOKEN, build_project, study_project
from tests.redcap_double.dictionary import Field
from tests.redcap_double.double import Double
from tests.redcap_double.fixtures import Running
from tests.redcap_double.project import User
from tests.redcap_double.running import running_in_thread

OTHER_TOKEN = "0" * 31 + "1"


def test_a_longitudinal_project_tells_its_dictionary_events_and_repeats(redcap_double: Running) -> None:
    client = redcap_double.client()
    assert client.def_field == "record_id"
    assert len(client.metadata[0]) == 18
    flags = next(row for row in client.metadata if row["field_name"] == "cog_flags")
    assert (flags["field_type"], flags["select_choices_or_calculations"]) == (
        "checkbox",
        "1, Late | 2, Noisy",
    )
    assert [row["field_name"] for row in client.export_metadata(fields=["age"])] == ["age"]
    names = {
        row["export_field_name"]: row["choice_value"] for row in client.export_field_names(field="cog_flags")
    }
    assert names == {"cog_flags___1": "1", "cog_flags___2": "2"}
    assert client.export_instruments()[1] == {
        "instrument_name": "cog_session",
        "instrument_label": "Cog Session",
    }
    assert client.export_arms() == [{"arm_num": 1, "name": "Arm 1"}]
    assert [event["unique_event_name"] for event in client.export_events()] == [
        "baseline_arm_1",
        "retest_arm_1",
    ]
    assert {"arm_num": 1, "unique_event_name": "retest_arm_1", "form": "cog_session"} in (
        client.export_instrument_event_mappings()
    )
    assert client.export_repeating_instruments_events()[0] == {
        "event_name": "baseline_arm_1",
        "form_name": "cog_session",
        "custom_form_label": "",
    }
    info = client.export_project_info()
    assert (info["is_longitudinal"], info["has_repeating_instruments_or_events"]) == (1, 1)
    assert client.is_longitudinal
    assert str(client.export_version()) == "14.5.5"
    user = client.export_users()[0]
    assert (user["username"], user["api_import"], user["forms"]["demographics"]) == ("sync", 1, 1)
    assert client.export_metadata(format_type="csv").startswith("field_name,form_name,section_header,")
    assert "<field_name>age</field_name>" in client.export_metadata(format_type="xml")


def test_a_classic_project_refuses_to_tell_its_events() -> None:
    double = Double([build_project([Field("id", "person")], repeating=["person"])])
    with running_in_thread(double) as address:
        client = Running(double, address).client()
        assert not client.is_longitudinal
        for ask, text in (
            (client.export_arms, "You cannot export arms for classic projects"),
            (client.export_events, "You cannot export events for classic projects"),
            (client.export_instrument_event_mappings, "You cannot export form/event mappings"),
        ):
            with pytest.raises(RedcapError, match=text):
                ask()
        repeats = client.export_repeating_instruments_events()
        assert repeats == [{"form_name": "person", "custom_form_label": ""}]
        double.project.repeating = {}
        with pytest.raises(RedcapError, match="does not contain any repeating instruments"):
            client.export_repeating_instruments_events()


def test_a_token_stands_for_a_user_of_one_project() -> None:
    first = study_project()
    second = build_project(
        [Field("id", "person")], users=[User("other", OTHER_TOKEN)], title="Other", number=2
    )
    double = Double([first, second])
    with running_in_thread(double) as address:
        titles = [
            Client(address.url, token).export_project_info()["project_title"]
            for token in (TOKEN, OTHER_TOKEN)
        ]
        assert titles == ["Cognition study", "Other"]
        for token in ("F" * 32, ""):
            data = {"token": token, "content": "version", "format": "json"}
            answer = requests.post(address.url, data=data, timeout=20)
            assert (answer.status_code, answer.json()) == (
                403,
                {"error": "You do not have permissions to use the API"},
            )


@pytest.mark.parametrize(
    ("right", "ask"),
    [
        ("api_export", lambda client: client.export_records()),
        ("api_export", lambda client: client.export_metadata()),
        ("api_import", lambda client: client.import_records([{"record_id": "1", "age": "1"}])),
        ("record_create", lambda client: client.import_records([{"record_id": "new", "age": "1"}])),
        ("record_delete", lambda client: client.delete_records(["1"])),
        ("logging", lambda client: client.export_logging()),
        ("data_access_groups", lambda client: client.export_dags()),
    ],
)
def test_a_missing_right_is_403(redcap_double: Running, right: str, ask: Callable[[Client], object]) -> None:
    seen: list[int] = []
    client = redcap_double.client(
        hooks={"response": lambda response, *_, **__: seen.append(response.status_code)}
    )
    client.import_records([{"record_id": "1", "age": "1"}])
    setattr(redcap_double.project.users[0], right, False)
    with pytest.raises(RedcapError, match=r"You do not have .* privileges"):
        ask(client)
    assert seen == [200, 403]


def test_a_file_is_put_in_its_field_and_got_back(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([{"record_id": "1", "age": "1"}])
    content = bytes(range(256))
    client.import_file("1", "scan", "consent.pdf", io.BytesIO(content))
    assert client.export_file("1", "scan") == (content, {"name": "consent.pdf"})
    assert client.export_records(fields=["scan"])[0]["scan"] == "consent.pdf"
    client.delete_file("1", "scan")
    with pytest.raises(RedcapError, match="There is no file to download"):
        client.export_file("1", "scan")
    with pytest.raises(ValueError, match="not a 'file' field"):
        client.import_file("1", "age", "consent.pdf", io.BytesIO(content))


def test_what_was_wrong_with_a_file_pycap_hides_and_the_answer_tells(redcap_double: Running) -> None:
    answers: list[requests.Response] = []
    client = redcap_double.client(hooks={"response": lambda response, *_, **__: answers.append(response)})
    client.import_records([{"record_id": "1", "age": "1"}])
    redcap_double.double.lock_form("1", "demographics")
    for record, text in (("2", "The record '2' does not exist"), ("1", "is locked")):
        client.import_file(record, "scan", "consent.pdf", io.BytesIO(b"x"))
        assert answers[-1].status_code == 400
        assert text in answers[-1].text
    assert redcap_double.project.files == {}


def test_the_log_is_newest_first_and_knows_who_did_it(redcap_double: Running) -> None:
    client, double = redcap_double.client(), redcap_double.double
    client.import_records([{"record_id": "1", "age": "1"}])
    assert double.person_writes("1", {"cog_trials": "9"}, form="cog_session") == 1
    assert double.person_writes("1", {"cog_trials": "8"}, form="cog_session") == 2
    client.delete_records(["1"])
    rows = client.export_logging()
    assert [(row["username"], row["action"]) for row in rows] == [
        ("sync", "Delete record (API) 1"),
        ("person", "Update record 1"),
        ("person", "Update record 1"),
        ("sync", "Create record (API) 1"),
    ]
    assert client.export_logging(user="person", log_type="record_edit") == rows[1:3]
    assert client.export_logging(record="2") == []


def test_methods_that_the_double_leaves_out_say_so(redcap_double: Running) -> None:
    client = redcap_double.client()
    asked: list[Callable[[], object]] = [
        lambda: client.export_report("1"),
        lambda: client.import_metadata(client.export_metadata()),
        lambda: client.export_records(record_type="eav"),
        lambda: client.export_records(export_survey_fields=True),
        lambda: client.export_records(decimal_character=","),
    ]
    for ask in asked:
        with pytest.raises(RedcapError, match=r"not implemented|\"content\\?\" is not valid"):
            ask()

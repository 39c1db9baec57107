"""Each fault by its name: what the client sees of it, and what is written all the same."""

import threading
from dataclasses import replace
from typing import Any

import pytest
import requests
from redcap.request import RedcapError

from tests.redcap_double.answers import Answer
from tests.redcap_double.catalogue import names
from tests.redcap_double.faults import Call, parse_fault
from tests.redcap_double.fixtures import Running
from tests.redcap_double.records import Lock
from tests.redcap_double.request_log import Ending
from tests.redcap_double.running import wait_until

ROW = {
    "record_id": "1",
    "redcap_event_name": "baseline_arm_1",
    "redcap_repeat_instrument": "cog_session",
    "redcap_repeat_instance": "1",
    "cog_trials": "4",
}


def _post(running: Running, **parameters: str) -> requests.Response:
    data = {"token": running.token, "content": "version", "format": "json", **parameters}
    return requests.post(running.url, data=data, timeout=20)


def _written(running: Running) -> bool:
    return bool(running.project.records.rows)


@pytest.mark.parametrize("name", ["drop", "html", "empty-500", "502", "504", "out-of-memory"])
def test_an_answer_is_lost_before_or_after_the_work(redcap_double: Running, name: str) -> None:
    client = redcap_double.client()
    before = redcap_double.faults.add(name)
    with pytest.raises(RedcapError):
        client.import_records([ROW])
    assert not _written(redcap_double)

    after = redcap_double.faults.add(f"{name}-after")
    with pytest.raises(RedcapError):
        client.import_records([ROW])
    assert redcap_double.double.values("1", form="cog_session", instance=1) == {"cog_trials": "4"}

    assert (before.fired, after.fired) == (1, 1)
    assert client.import_records([ROW]) == {"count": 1}
    entries = redcap_double.requests.of("record", "import")
    assert [entry.faults for entry in entries] == [(name,), (f"{name}-after",), ()]


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("html", 200, "<!DOCTYPE html>"),
        ("empty-500", 500, ""),
        ("413", 413, "Request Entity Too Large"),
        ("429", 429, "Too Many Requests"),
        ("503", 503, "Service Temporarily Unavailable"),
        ("504", 504, "Gateway Time-out"),
        ("out-of-memory", 500, "REDCap ran out of server memory."),
        ("ban", 403, "Your IP address (127.0.0.1) has been banned due to suspected abuse."),
    ],
)
def test_what_comes_in_place_of_the_answer(redcap_double: Running, name: str, status: int, text: str) -> None:
    redcap_double.faults.add(name)
    answer = _post(redcap_double)
    assert answer.status_code == status
    assert text in answer.text
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_dropped_connection_and_a_cut_body_are_errors_of_the_connection(redcap_double: Running) -> None:
    redcap_double.faults.add("drop")
    with pytest.raises(requests.ConnectionError):
        _post(redcap_double)
    redcap_double.faults.add("cut")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        _post(redcap_double, content="metadata")
    assert [(entry.ending, entry.status) for entry in redcap_double.requests.entries] == [
        (Ending.DROPPED, 0),
        (Ending.CUT, 200),
    ]


def test_an_import_is_written_after_its_client_has_given_up(redcap_double: Running) -> None:
    redcap_double.faults.add("late", content="record")
    with pytest.raises(requests.Timeout):
        redcap_double.client(timeout=0.05).import_records([ROW])
    wait_until(lambda: _written(redcap_double), "the late import")
    redcap_double.faults.add("late", seconds=0.001)
    assert _post(redcap_double).text == "14.5.5"


def test_a_late_import_may_be_written_even_after_its_repetition(redcap_double: Running) -> None:
    release = threading.Event()
    redcap_double.faults.add("late", content="record", released=release.is_set)
    with pytest.raises(requests.Timeout):
        redcap_double.client(timeout=0.05).import_records([ROW])
    redcap_double.client().import_records([{**ROW, "cog_trials": "5"}])
    assert redcap_double.double.values("1", form="cog_session", instance=1) == {"cog_trials": "5"}
    release.set()
    wait_until(lambda: redcap_double.requests.count("record", "import") == 2, "the late import")
    assert redcap_double.double.values("1", form="cog_session", instance=1) == {"cog_trials": "4"}


def test_a_ban_is_for_good_and_for_every_token_until_it_is_lifted(redcap_double: Running) -> None:
    redcap_double.faults.add("ban", nth=2)
    assert _post(redcap_double).status_code == 200
    for token in (redcap_double.token, redcap_double.token, "F" * 32):
        assert "has been banned due to suspected abuse" in _post(redcap_double, token=token).text
    redcap_double.double.unban()
    assert _post(redcap_double).status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("lock-record", 400, "This record is locked."),
        ("lock-form", 400, "This field is located on a form that is locked."),
        ("rights-removed", 403, "You do not have API Import/Update privileges"),
        ("token-removed", 403, "You do not have permissions to use the API"),
        ("field-removed", 400, "not found in the project as real data fields: cog_trials"),
    ],
)
def test_the_project_changes_just_before_an_import_and_stays_so(
    redcap_double: Running, name: str, status: int, text: str
) -> None:
    redcap_double.faults.add(name, content="record", action="import")
    seen: list[int] = []
    client = redcap_double.client(
        hooks={"response": lambda response, *_, **__: seen.append(response.status_code)}
    )
    client.export_records()
    for _ in range(2):
        with pytest.raises(RedcapError) as refused:
            client.import_records([ROW])
        assert text in refused.value.args[0]["error"]
    assert seen[-2:] == [status, status]
    assert not _written(redcap_double)


def test_a_removed_choice_makes_its_code_bad(redcap_double: Running) -> None:
    redcap_double.faults.add("choice-removed")
    client = redcap_double.client()
    with pytest.raises(RedcapError, match="not a valid category for sex"):
        client.import_records([{"record_id": "1", "sex": "9"}])
    client.import_records([{"record_id": "1", "sex": "2"}])


def test_a_person_takes_the_instance_that_the_client_has_counted(redcap_double: Running) -> None:
    redcap_double.faults.add(
        "person-adds-instance", values={"cog_session_uid": "by hand", "cog_trials": "77"}
    )
    client = redcap_double.client()
    assert client.export_records(fields=["cog_session_uid"]) == []
    client.import_records([ROW])
    assert redcap_double.double.values("1", form="cog_session", instance=1) == {
        "cog_session_uid": "by hand",
        "cog_trials": "4",
    }
    assert [row["username"] for row in client.export_logging()] == ["sync", "person"]


def test_rows_are_missing_from_an_export(redcap_double: Running) -> None:
    client = redcap_double.client()
    client.import_records([{**ROW, "redcap_repeat_instance": number} for number in (1, 2, 3)])

    def instances() -> list[int]:
        return [row["redcap_repeat_instance"] for row in client.export_records()]

    redcap_double.faults.add("rows-missing")
    assert (instances(), instances()) == ([1, 2], [1, 2, 3])
    redcap_double.faults.add("rows-missing", loses=lambda row: row["redcap_repeat_instance"] == 2)
    assert instances() == [1, 3]
    redcap_double.faults.add("rows-missing")
    assert len(client.export_records(format_type="csv").splitlines()) == 3


def test_an_import_is_answered_200_and_written_in_part(redcap_double: Running) -> None:
    client = redcap_double.client()
    rows: list[dict[str, Any]] = [{"record_id": name, "age": "1"} for name in ("1", "2")]
    redcap_double.faults.add("partial")
    assert client.import_records(rows, return_content="ids") == ["1"]
    redcap_double.faults.add("partial-silent", times=2)
    assert client.import_records(rows, return_content="ids") == ["1", "2"]
    assert client.import_records(rows) == {"count": 2}
    assert redcap_double.project.records.names() == ["1"]


def test_a_fault_waits_for_its_turn_among_the_requests_that_it_matches(redcap_double: Running) -> None:
    scheduled = redcap_double.faults.add("503", content="metadata", nth=2, times=2)
    statuses = [
        _post(redcap_double, content=content).status_code
        for content in ("metadata", "version", "metadata", "metadata", "metadata")
    ]
    assert statuses == [200, 200, 503, 503, 200]
    assert (scheduled.seen, scheduled.fired) == (4, 2)
    redcap_double.faults.add("503", times=None, when=lambda call: call.parameters.text("format") == "csv")
    assert [_post(redcap_double, format=form).status_code for form in ("json", "csv", "csv")] == [
        200,
        503,
        503,
    ]
    redcap_double.faults.clear()
    assert _post(redcap_double, format="csv").status_code == 200


def test_own_code_runs_before_and_after_a_request(redcap_double: Running) -> None:
    numbers: list[int] = []

    def lock_it(call: Call) -> None:
        numbers.append(call.number)
        call.project.records.locks.add(Lock("1"))

    def turn_to_tea(call: Call, answer: Answer) -> Answer:
        return replace(answer, status=418)

    redcap_double.faults.hook(before=lock_it, content="record", action="import")
    redcap_double.faults.hook(after=turn_to_tea, content="version")
    client = redcap_double.client()
    client.export_logging()
    with pytest.raises(RedcapError, match="locked"):
        client.import_records([ROW])
    assert numbers == [2]
    assert _post(redcap_double).status_code == 418


def test_faults_of_the_command_line_are_written_short() -> None:
    assert parse_fault("html") == {"fault": "html", "nth": 1, "times": 1, "content": "", "action": ""}
    assert parse_fault("503xall")["times"] is None
    assert parse_fault("drop-after@3x2:record/import") == {
        "fault": "drop-after",
        "nth": 3,
        "times": 2,
        "content": "record",
        "action": "import",
    }
    for wrong in ("", "html@0", "html:", "html@x", "HTML"):
        with pytest.raises(ValueError, match="is not name"):
            parse_fault(wrong)
    for name in names():
        assert parse_fault(name)["fault"] == name


def test_pycap_takes_a_lost_answer_for_a_classic_project_and_remembers_it(redcap_double: Running) -> None:
    client = redcap_double.client()
    redcap_double.faults.add("drop", content="formEventMapping")
    assert not client.is_longitudinal
    assert not client.is_longitudinal
    assert redcap_double.requests.count("formEventMapping") == 1
    assert client.export_project_info()["is_longitudinal"] == 1


@pytest.mark.parametrize("name", ["lock-record", "rights-removed", "503", "html"])
def test_pycap_hides_every_failure_of_an_import_that_wants_no_answer(
    redcap_double: Running, name: str
) -> None:
    redcap_double.faults.add(name)
    assert redcap_double.client().import_records([ROW], return_content="nothing") == [{}]
    assert not _written(redcap_double)


def test_pycap_raises_one_class_for_refusals_timeouts_and_pages(redcap_double: Running) -> None:
    assert RedcapError is requests.RequestException
    client = redcap_double.client(timeout=0.05)
    for name in ("late", "html", "drop", "cut", "empty-500", "field-removed"):
        redcap_double.faults.add(name, content="record")
        with pytest.raises(RedcapError):
            client.import_records([ROW])


def test_a_fault_without_a_name_that_is_known_is_refused(redcap_double: Running) -> None:
    with pytest.raises(ValueError, match="no fault 'flood'; there are 401"):
        redcap_double.faults.add("flood")

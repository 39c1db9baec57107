"""Which documents are quarantined, with which code, and where the problem is said to be."""

import copy
import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.documents.kinds import Consent, Device, FormReference, Invalid, Kept, Session
from reporting.documents.text import MAX_KEY_CHARACTERS
from reporting.documents.validate import Judged, document_type, validate
from tests.documents.examples import SITE, a_consent, a_device, a_session, a_task_run, a_trial, encode, nested


def judge(document: dict[str, Any]) -> Judged:
    return validate(document["_id"], encode(document), site=SITE)


def problem(document: dict[str, Any]) -> tuple[str, str]:
    found = judge(document)
    assert isinstance(found, Invalid), found
    return found.code, found.path


def without(member: str) -> dict[str, Any]:
    return {name: value for name, value in a_session().items() if name != member}


def with_task_run(**members: Any) -> dict[str, Any]:
    return a_session(tasks=[a_task_run("stroop"), {**a_task_run(), **members}])


def with_trial(**members: Any) -> dict[str, Any]:
    return with_task_run(trials=[a_trial(1), {**a_trial(2), **members}])


def test_session_as_documented_is_valid() -> None:
    session = judge(a_session())
    assert isinstance(session, Session)
    assert session.id == "s1"
    assert session.document.participant == "s012"
    assert session.document.tasks[0].trials[3]["trial_index"] == 4
    assert not session.nul_replaced


def test_session_with_required_members_only_is_valid() -> None:
    required = ("_id", "type", "schema", "study", "site", "participant", "started_at", "status", "tasks")
    document = {name: value for name, value in a_session(tasks=[]).items() if name in required}
    assert isinstance(judge(document), Session)


def test_unknown_members_are_no_error() -> None:
    document = a_session(weather="rain", _attachments={}, tasks=[{**a_task_run(), "mood": [1, {"a": None}]}])
    document["device"]["battery"] = 0.4
    assert isinstance(judge(document), Session)


def test_valid_consent_need_not_tell_its_study_or_form() -> None:
    judged = judge(a_consent())
    assert isinstance(judged, Consent)
    assert (judged.name, judged.document.study, judged.document.form) == (
        "c1",
        None,
        FormReference("adult", 2),
    )
    assert isinstance(judge(a_consent(form=None)), Consent)


@pytest.mark.parametrize("members", [{}, {"site": SITE}, {"os": None, "wifi": ["a"]}, {"battery_level": 1}])
def test_device_tells_what_it_can_and_its_unknown_members_are_no_error(members: dict[str, Any]) -> None:
    judged = judge(a_device(**members))
    assert isinstance(judged, Device)
    assert judged.name == "lima-tab-2"
    assert (judged.document.app, judged.document.os, judged.document.outstanding) == ("1.0.0", None, None)


@pytest.mark.parametrize(
    ("doc_id", "body"),
    [
        ("study:SRO@1", b'{"type":"study","schema":9}'),
        ("_design/access", b'{"language":"javascript"}'),
        ("notes", b'{"type":"memo"}'),
        ("item_bank:i@1", b'{"type":"item_bank","schema":1}'),
        ("battery:b@1", b"[1, 2"),
    ],
)
def test_document_of_a_type_that_is_not_judged_is_only_kept(doc_id: str, body: bytes) -> None:
    assert validate(doc_id, body, site=SITE) == Kept()


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        # The envelope.
        (a_session(type="device"), "type_mismatch", "$.type"),
        (without("type"), "type_mismatch", "$.type"),
        (a_session(type=["session"]), "type_mismatch", "$.type"),
        (a_session(_id="notes"), "type_mismatch", "$.type"),
        (a_session(_id="study:1"), "type_mismatch", "$.type"),
        (a_session(""), "empty", "$._id"),
        (a_session(schema=2), "unknown_schema", "$.schema"),
        (a_session(schema="1"), "unknown_schema", "$.schema"),
        (a_session(schema=True), "unknown_schema", "$.schema"),
        (without("schema"), "unknown_schema", "$.schema"),
        (a_session(schema=2, study=5), "unknown_schema", "$.schema"),
        (a_session(site="nairobi"), "wrong_site", "$.site"),
        (a_session(site="nairobi", tasks=None), "wrong_site", "$.site"),
        (without("site"), "missing_member", "$.site"),
        (a_session(site=None), "wrong_type", "$.site"),
        (a_consent(site="nairobi"), "wrong_site", "$.site"),
        (a_device(site="nairobi"), "wrong_site", "$.site"),
        (a_device(schema=7), "unknown_schema", "$.schema"),
        # The tablet's own status.
        (a_device(app=1), "wrong_type", "$.app"),
        (a_device(os={}), "wrong_type", "$.os"),
        (a_device(free_bytes="12 GB"), "wrong_type", "$.free_bytes"),
        (a_device(free_bytes=-1), "out_of_range", "$.free_bytes"),
        (a_device(free_bytes=2**63), "out_of_range", "$.free_bytes"),
        (a_device(battery_level="full"), "wrong_type", "$.battery_level"),
        (a_device(battery_level=87), "out_of_range", "$.battery_level"),
        (a_device(outstanding=1.5), "wrong_type", "$.outstanding"),
        (a_device(outstanding=2**31), "out_of_range", "$.outstanding"),
        (a_device(clock_at="noon"), "bad_time", "$.clock_at"),
        (a_device(clock_at="0001-01-01T00:00:00Z"), "out_of_range", "$.clock_at"),
        # Members of the session.
        (without("study"), "missing_member", "$.study"),
        (without("participant"), "missing_member", "$.participant"),
        (without("started_at"), "missing_member", "$.started_at"),
        (without("status"), "missing_member", "$.status"),
        (without("tasks"), "missing_member", "$.tasks"),
        (a_session(participant=12), "wrong_type", "$.participant"),
        (a_session(participant=""), "empty", "$.participant"),
        (a_session(study="s" * 200), "too_long", "$.study"),
        (a_session(visit=1), "wrong_type", "$.visit"),
        (a_session(battery={"id": "b"}), "missing_member", "$.battery.version"),
        (a_session(battery={"id": "b", "version": "1"}), "wrong_type", "$.battery.version"),
        (a_session(device="tab"), "wrong_type", "$.device"),
        (a_session(utc_offset_minutes=3_000_000_000), "out_of_range", "$.utc_offset_minutes"),
        (a_session(utc_offset_minutes=10**40), "out_of_range", "$.utc_offset_minutes"),
        (a_session(utc_offset_minutes=0.5), "wrong_type", "$.utc_offset_minutes"),
        (a_session(status="done"), "unknown_value", "$.status"),
        (a_session(status=None), "wrong_type", "$.status"),
        (a_consent(signed_at="yesterday"), "bad_time", "$.signed_at"),
        (a_consent(participant=None), "wrong_type", "$.participant"),
        # Times.
        (a_session(started_at="2016-07-22T03:01:35"), "bad_time", "$.started_at"),
        (a_session(started_at="22.7.2016"), "bad_time", "$.started_at"),
        (a_session(started_at=1469156495), "wrong_type", "$.started_at"),
        (a_session(started_at="0001-01-01T00:00:00+14:00"), "out_of_range", "$.started_at"),
        (a_session(ended_at="9999-12-31T23:59:59-14:00"), "out_of_range", "$.ended_at"),
        (a_session(ended_at="2016-07-22T03:01:34.9Z"), "times_out_of_order", "$.ended_at"),
        (a_session(ended_at="2016-07-22T04:00:00+02:00"), "times_out_of_order", "$.ended_at"),
        (
            with_task_run(started_at="2016-07-22T03:05:00Z", ended_at="2016-07-22T03:04:00Z"),
            "times_out_of_order",
            "$.tasks[1].ended_at",
        ),
        # Task runs.
        (a_session(tasks={}), "wrong_type", "$.tasks"),
        (a_session(tasks=[None]), "wrong_type", "$.tasks[0]"),
        (a_session(tasks=[{"task": "simon", "run": 1}]), "missing_member", "$.tasks[0].trials"),
        (with_task_run(task=None), "wrong_type", "$.tasks[1].task"),
        (with_task_run(task=""), "empty", "$.tasks[1].task"),
        (with_task_run(run="1"), "wrong_type", "$.tasks[1].run"),
        (with_task_run(run=True), "wrong_type", "$.tasks[1].run"),
        (with_task_run(run=1.0), "wrong_type", "$.tasks[1].run"),
        (with_task_run(run=2**31), "out_of_range", "$.tasks[1].run"),
        (with_task_run(params=[1]), "wrong_type", "$.tasks[1].params"),
        (with_task_run(summary="fast"), "wrong_type", "$.tasks[1].summary"),
        (with_task_run(task="stroop"), "duplicate_task_run", "$.tasks[1]"),
        (with_task_run(trials={}), "wrong_type", "$.tasks[1].trials"),
        (with_task_run(trials=[a_trial(1), 5]), "wrong_type", "$.tasks[1].trials[1]"),
        # Trials.
        (with_task_run(trials=[{"rt": 4}]), "missing_member", "$.tasks[1].trials[0].trial_index"),
        (with_trial(trial_index="2"), "wrong_type", "$.tasks[1].trials[1].trial_index"),
        (with_trial(trial_index=None), "wrong_type", "$.tasks[1].trials[1].trial_index"),
        (with_trial(trial_index=True), "wrong_type", "$.tasks[1].trials[1].trial_index"),
        (with_trial(trial_index=2.0), "wrong_type", "$.tasks[1].trials[1].trial_index"),
        (with_trial(trial_index=2**31), "out_of_range", "$.tasks[1].trials[1].trial_index"),
        (with_trial(trial_index=1), "duplicate_trial_index", "$.tasks[1].trials[1].trial_index"),
        (with_trial(rt="512"), "wrong_type", "$.tasks[1].trials[1].rt"),
        (with_trial(rt=True), "wrong_type", "$.tasks[1].trials[1].rt"),
        (with_trial(rt=[1]), "wrong_type", "$.tasks[1].trials[1].rt"),
        (with_trial(rt=10**400), "out_of_range", "$.tasks[1].trials[1].rt"),
        (with_trial(correct="yes"), "unknown_value", "$.tasks[1].trials[1].correct"),
        (with_trial(correct=2), "unknown_value", "$.tasks[1].trials[1].correct"),
        (with_trial(correct=[1]), "unknown_value", "$.tasks[1].trials[1].correct"),
        (with_trial(exp_stage=3), "wrong_type", "$.tasks[1].trials[1].exp_stage"),
        (with_trial(phase={}), "wrong_type", "$.tasks[1].trials[1].phase"),
    ],
)
def test_wrong_document_is_invalid_with_the_code_and_path_of_its_problem(
    document: dict[str, Any], code: str, path: str
) -> None:
    assert problem(document) == (code, path)


def test_message_says_what_is_there_and_what_has_to_be() -> None:
    found = judge(with_trial(rt="512 ms"))
    assert isinstance(found, Invalid)
    assert found.message.startswith('$.tasks[1].trials[1].rt is "512 ms": it has to be milliseconds')


def test_message_quotes_only_the_beginning_of_a_long_value() -> None:
    found = judge(a_session(visit="baseline", status="x" * 100_000))
    assert isinstance(found, Invalid)
    assert len(found.message) < 300


def test_only_the_first_problem_is_reported() -> None:
    document = with_trial(rt="x", correct="y")
    document["tasks"][0]["trials"][0]["rt"] = "z"
    assert problem(document) == ("wrong_type", "$.tasks[0].trials[0].rt")


@pytest.mark.parametrize(
    "member", [b'"\\ud800"', b'"\\udc00 alone"', b'"\\ud800\\u0041"', b"1e400", b"1" * 5000, b'"\xff"']
)
def test_what_is_no_json_for_us_is_invalid(member: bytes) -> None:
    body = encode(a_session()).replace(b'"baseline"', member)
    found = validate("session:s1", body, site=SITE)
    assert isinstance(found, Invalid)
    assert (found.code, found.path) == ("not_json", "$")


def test_body_that_is_no_object_is_invalid() -> None:
    found = validate("session:s1", b"[]", site=SITE)
    assert isinstance(found, Invalid)
    assert (found.code, found.path) == ("wrong_type", "$")


def test_deepest_nesting_a_document_may_have_is_valid() -> None:
    assert isinstance(judge(with_trial(stimulus=nested(495))), Session)


def test_nesting_beyond_any_limit_is_invalid() -> None:
    body = encode(a_session()).replace(b'"baseline"', b"[" * 3000 + b"]" * 3000)
    found = validate("session:s1", body, site=SITE)
    assert isinstance(found, Invalid)
    assert found.code == "too_deep"


def test_nul_is_replaced_everywhere_and_noted() -> None:
    document = a_session("a\0b", participant="s\x0012")
    document["tasks"] = [{**a_task_run("sim\0on"), "trials": [a_trial(1, **{"key\0": ["\0", {"\0": "\0"}]})]}]
    session = judge(document)
    assert isinstance(session, Session)
    assert session.nul_replaced
    assert session.id.startswith("a\ufffdb…")
    assert session.document.participant == "s\ufffd12"
    assert session.document.tasks[0].task == "sim\ufffdon"
    assert session.document.tasks[0].trials[0]["key\ufffd"] == ["\ufffd", {"\ufffd": "\ufffd"}]


def test_written_escape_of_nul_is_not_taken_for_one() -> None:
    session = judge(a_session(visit="\\u0000"))
    assert isinstance(session, Session)
    assert session.document.visit == "\\u0000"
    assert not session.nul_replaced


def test_reason_for_a_document_with_nul_holds_none() -> None:
    found = judge(a_session(status="\0"))
    assert isinstance(found, Invalid)
    assert "\0" not in found.message


def test_session_id_longer_than_a_key_is_cut() -> None:
    session = judge(a_session("x" * 5000))
    assert isinstance(session, Session)
    assert len(f"session:{session.id}") == MAX_KEY_CHARACTERS


@pytest.mark.parametrize(
    ("doc_id", "type_"),
    [("session:1", "session"), ("session:", "session"), ("notes", None), ("_design/a:b", None), ("", None)],
)
def test_type_of_a_document_is_its_prefix(doc_id: str, type_: str | None) -> None:
    assert document_type(doc_id) == type_


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    place=st.sampled_from(
        [(), ("tasks",), ("tasks", 0), ("tasks", 0, "trials"), ("tasks", 0, "trials", 1), ("battery",)]
    ),
    member=st.sampled_from(
        [
            "study",
            "site",
            "status",
            "started_at",
            "battery",
            "device",
            "tasks",
            "task",
            "run",
            "trials",
            "params",
            "trial_index",
            "rt",
            "correct",
            "phase",
            "response",
            "id",
            "version",
            "schema",
            "type",
        ]
    ),
    value=json_values,
)
def test_no_value_anywhere_makes_validation_raise(place: tuple[Any, ...], member: str, value: Any) -> None:
    document = copy.deepcopy(a_session())
    target: Any = document
    for step in place:
        target = target[step]
    if isinstance(target, list):
        target.insert(0, value)
    else:
        target[member] = value
    found = judge(document)
    assert not isinstance(found, Invalid) or (found.path.startswith("$") and found.message)


def test_every_field_document_is_valid(shared_field_sessions: Path | None) -> None:
    if shared_field_sessions is None:
        pytest.skip("the field sessions are not beside the checkout")
    file = min(shared_field_sessions.glob("incomplete-*.ndjson.gz"))
    with gzip.open(file) as lines:
        for line in lines:
            document = msgspec.json.decode(line)
            found = validate(document["_id"], line, site=document["site"])
            assert isinstance(found, Session)
            assert found.nul_replaced is False

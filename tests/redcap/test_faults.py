"""What REDCap and what stands before it may answer, and what kind of fault that is.

The texts are those that public clients quote, with plausible variants.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.redcap.faults import (
    DECISIONS,
    BadRows,
    BadValue,
    Banned,
    DictionaryChanged,
    Fault,
    Locked,
    NoRights,
    TooBig,
    UnknownOutcome,
    Unreadable400,
    classify,
    decide,
    faulty_rows,
)

BANNED = "Your IP address (10.1.2.3) has been banned due to suspected abuse."
MEMORY = (
    "ERROR: REDCap ran out of server memory. The request cannot be processed. Please try a smaller amount."
)
LOCKED = "This field is located on a form that is locked. You must first unlock this form for this record."
CATEGORY = "The value is not a valid category for maristat"
FIELDS = "The following fields were not found in the project as real data fields: foo, baz"
EVENTS = "The following values of redcap_event_name are invalid: visit_11_arm_1, visit_12_arm_1"
REPEAT = "redcap_repeat_instance cannot have a value since this instrument or event is not a repeating one."
REPEATS = (
    "This field ('x') exists on a Repeating Instrument named 'fall'. However, the fields "
    "'redcap_repeat_instance' and/or 'redcap_repeat_instrument' for this row of data have no value."
)
DESIGNATED = (
    "This field ('corona_2') exists on an instrument that is not designated for the event named 'Screening "
    "(Arm 1: Screening)'. You are not allowed to import data for this field into this event."
)
RIGHTS = "Insufficient user privileges: You must have 'API Export' privileges in the project."
HTML = "<!DOCTYPE html><html><body>REDCap is currently offline</body></html>"


def error(text: str) -> str:
    return json.dumps({"error": text})


def line(*columns: str) -> str:
    return ",".join(f'"{column}"' for column in columns)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, '["1","2"]', None),
        (200, '{"count": 2}', None),
        (200, "[]", None),
        (200, '[{"record_id": "1", "note": "' + BANNED + '"}]', None),
        (200, '"1.0"', None),
        (200, HTML, UnknownOutcome),
        (200, "", UnknownOutcome),
        (200, '[{"record_id": "1", "a', UnknownOutcome),
        (200, MEMORY, TooBig),
        (200, BANNED, Banned),
        (200, error(line("1", "maristat", "9", CATEGORY)), BadRows),
        (302, "", UnknownOutcome),
        (404, HTML, UnknownOutcome),
        (408, "", UnknownOutcome),
        (429, "too many requests", UnknownOutcome),
        (429, BANNED, Banned),
        (500, "", UnknownOutcome),
        (500, error(MEMORY), TooBig),
        (500, "PHP Fatal error: Allowed memory size of 536870912 bytes exhausted", TooBig),
        (502, HTML, UnknownOutcome),
        (503, HTML, UnknownOutcome),
        (504, HTML, TooBig),
        (413, "<h1>Request Entity Too Large</h1>", TooBig),
        (400, error(MEMORY), TooBig),
        (400, error(BANNED), Banned),
        (403, BANNED, Banned),
        (401, "", NoRights),
        (403, error("You do not have permissions to use the API"), NoRights),
        (403, error("The API request cannot complete because currently you do not have rights"), NoRights),
        (400, error("You do not have API Import privileges in this project"), NoRights),
        (400, error("Invalid token"), NoRights),
        (400, error(FIELDS), DictionaryChanged),
        (400, error(EVENTS), DictionaryChanged),
        (400, error("The instrument cog_session is not a repeating instrument"), DictionaryChanged),
        (400, error("The form cog is not designated for the event visit_1_arm_1"), DictionaryChanged),
        (400, error(line("1", "redcap_event_name", "x", "Some words")), DictionaryChanged),
        (400, error(line("1", "a", "2", "This field does not exist in the project")), DictionaryChanged),
        (400, error(line("1", "maristat", "01234", CATEGORY)), BadRows),
        (406, error(line("1", "maristat", "01234", CATEGORY)), BadRows),
        (400, error(line("1 (visit_1_arm_1)", "wbc", "5.4", LOCKED)), Locked),
        (400, error("The record 1 is locked and cannot be modified"), Locked),
        (400, error("The entire record has been locked"), Locked),
        (400, error(line("1", "redcap_repeat_instance", "3", REPEAT)), DictionaryChanged),
        (400, error(line("1", "x", "3", REPEATS)), DictionaryChanged),
        (400, "ERROR: " + line("1", "x", "3", REPEATS), DictionaryChanged),
        (400, error(line("1", "corona_2", "2", DESIGNATED)), DictionaryChanged),
        (400, error(f"{line('1', 'a', 'x', CATEGORY)}\n{line('2', 'b', '', DESIGNATED)}"), DictionaryChanged),
        (400, "ERROR: " + line("1", "maristat", "9", CATEGORY), BadRows),
        (400, error(RIGHTS), NoRights),
        (400, error("There was a problem"), Unreadable400),
        (400, "", Unreadable400),
        (400, HTML, Unreadable400),
        (400, '"1","only","three"', Unreadable400),
        (400, '{"error": null}', Unreadable400),
    ],
)  # fmt: skip
def test_an_answer_is_of_one_kind(status: int, body: str, kind: type[Fault] | None) -> None:
    fault = classify(status, body.encode(), "application/json")
    assert (None if fault is None else type(fault)) == kind


@pytest.mark.parametrize("exception", ["refused", "timeout", "cut", "name not known"])
def test_without_a_whole_answer_the_outcome_is_unknown_even_where_a_status_was_seen(exception: str) -> None:
    for status, body in ((None, b""), (200, b'["1"]'), (400, error("locked").encode())):
        fault = classify(status, body, "application/json", exception)
        assert isinstance(fault, UnknownOutcome)
        assert exception in fault.text


def test_lines_are_read_with_commas_quotes_and_line_feeds_in_their_values() -> None:
    text = (
        '"1","note","a, b","too, long"\n'
        '"2 (visit_1_arm_1)","note","he said ""no"",\nand left","has, a line feed"\r\n'
        '"3","age","x","The value you provided could not be validated"'
    )
    fault = classify(400, error(text))
    assert fault == BadRows(
        lines=[
            BadValue(record="1", field="note", value="a, b", message="too, long"),
            BadValue(
                record="2 (visit_1_arm_1)",
                field="note",
                value='he said "no",\nand left',
                message="has, a line feed",
            ),
            BadValue(
                record="3", field="age", value="x", message="The value you provided could not be validated"
            ),
        ]
    )
    assert isinstance(fault, BadRows)
    rows = faulty_rows(fault.lines, ["3", "2", "9"])
    assert rows is None, "record 1 was not sent"
    rows = faulty_rows(fault.lines, ["3", "2", "9", "1"])
    assert rows is not None
    assert {index: [line.field for line in lines] for index, lines in rows.items()} == {
        3: ["note"],
        1: ["note"],
        0: ["age"],
    }


def test_a_record_that_looks_like_one_with_an_event_is_itself() -> None:
    lines = [BadValue(record="7 (a)", field="x", value="", message="m")]
    assert faulty_rows(lines, ["7", "7 (a)"]) == {1: lines}
    labelled = [BadValue(record="7 (Screening (Arm 1: A))", field="x", value="", message="m")]
    assert faulty_rows(labelled, ["8", "7"]) == {1: labelled}
    assert faulty_rows(labelled, ["Screening"]) is None


def test_quotes_that_are_not_doubled_are_read_where_each_line_can_be_told_apart() -> None:
    fault = classify(400, error('"1","note","say "no", please","is bad"\n"2","age","x","is bad"'))
    assert isinstance(fault, BadRows)
    assert [(line.record, line.value) for line in fault.lines] == [("1", 'say "no", please'), ("2", "x")]
    assert isinstance(classify(400, error('"1","note","say "no"\nplease","is bad"')), Unreadable400)


def test_a_value_that_speaks_of_bans_locks_or_rights_changes_nothing() -> None:
    for value in (BANNED, LOCKED, "You do not have permissions to use the API", MEMORY):
        fault = classify(400, error(line("1", "note", value, "is bad")))
        assert isinstance(fault, BadRows)
        assert [bad.locked for bad in fault.lines] == [False]
        assert isinstance(classify(400, error(f'"1","note","{value}"')), Unreadable400)


def test_lines_of_locked_forms_are_told_from_those_of_values() -> None:
    fault = classify(400, error(line("1", "a", "2", LOCKED) + "\n" + line("2", "b", "x", "is bad")))
    assert isinstance(fault, BadRows)
    assert [bad.locked for bad in fault.lines] == [True, False]


def test_the_listed_form_of_older_versions_is_read() -> None:
    records = [{"record": "1 (1_arm_1)", "field_name": "wbc", "value": "5.4", "message": LOCKED}]
    fault = classify(400, json.dumps({"error": "There were data validation errors", "records": records}))
    assert isinstance(fault, Locked)
    assert fault.lines == [
        BadValue(record="1 (1_arm_1)", field="wbc", value="5.4", message=LOCKED, locked=True)
    ]


def test_no_fault_repeats_a_token_or_a_page() -> None:
    token = "0123456789ABCDEF0123456789ABCDEF"
    for status in (200, 400, 403, 500):
        fault = classify(status, f"token={token} " + "x" * 100_000)
        assert fault is not None
        assert token not in repr(fault)
        assert len(repr(fault)) < 3000


def test_a_fault_after_which_redcap_may_have_the_rows_is_read_back_first() -> None:
    assert {kind for kind, decision in DECISIONS.items() if decision.may_be_taken} == {UnknownOutcome, TooBig}
    assert {kind for kind, decision in DECISIONS.items() if decision.is_hosts} == {UnknownOutcome, Banned}
    assert decide(Locked(text="The record is locked")).action == "bisect"
    assert decide(Locked(text="", lines=[BadValue(record="1", field="", value="", message="")])).action == (
        "park_locked"
    )


@given(
    st.one_of(st.none(), st.integers(min_value=100, max_value=599)),
    st.one_of(st.binary(), st.text(), st.text().map(error), st.lists(st.text(), max_size=4).map(json.dumps)),
    st.one_of(st.none(), st.text()),
)
def test_anything_has_a_kind(status: int | None, body: bytes | str, exception: str | None) -> None:
    fault = classify(status, body, "", exception)
    if fault is None:
        assert status is not None
        assert 200 <= status < 300
    else:
        assert decide(fault).action


_PART = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")))
_NAME = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


@given(st.lists(st.tuples(_PART, _NAME, _PART), min_size=1))
def test_lines_with_doubled_quotes_are_read_as_they_were_written(rows: list[tuple[str, str, str]]) -> None:
    text = "\n".join(
        ",".join('"' + part.replace('"', '""') + '"' for part in (*row, "is bad")) for row in rows
    )
    fault = classify(400, error(text))
    assert isinstance(fault, BadRows)
    assert [(bad.record, bad.field, bad.value) for bad in fault.lines] == rows

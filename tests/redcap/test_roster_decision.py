"""What a pull makes of a record, decided on values alone."""

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.participants.contact import Contact
from reporting.participants.fates import Known
from reporting.participants.rules import State
from reporting.redcap.roster_decision import (
    Conflict,
    Holder,
    compare,
    local_values,
    verdict,
    who_is,
    with_changes,
)
from reporting.redcap.roster_mapping import RosterMapping, Said, by_record, read_record

ROSTER = msgspec.convert(
    {
        "code": {"from": "ppt_code"},
        "event": "base_arm_1",
        "fields": {
            "language": {"from": "lang", "map": {"1": "es", "2": "qu"}, "direction": "both"},
            "enrolled_on": {"from": "consent"},
            "site": {"by": "dag", "map": {"lima_clinic": "lima"}},
            "contact.email": {"from": "email"},
            "contact.note": {"from": "note", "direction": "push"},
        },
    },
    RosterMapping,
)
ROW = {
    "record_id": "15",
    "redcap_event_name": "base_arm_1",
    "redcap_data_access_group": "lima_clinic",
    "ppt_code": "s1",
    "lang": "1",
    "consent": "2026-01-02 10:00",
    "email": "planted@example.org",
}


def prints(text: str) -> list[str]:
    return [f"new-{hash(text)}", f"old-{hash(text)}"]


def test_record_says_what_its_row_of_the_event_has_and_nothing_where_it_is_empty() -> None:
    other = {"record_id": "15", "redcap_event_name": "other_arm_1", "lang": "2", "ppt_code": ""}
    repeat = {**ROW, "redcap_repeat_instance": 2, "lang": "2"}
    said = read_record(ROSTER, "15", [other, repeat, {**ROW, "email": " "}])
    assert (said.record, said.code, said.problems) == ("15", "s1", [])
    assert said.values == {
        "language": "es",
        "enrolled_on": "2026-01-02",
        "site": "lima",
        "contact.email": None,
        "contact.note": None,
    }


@pytest.mark.parametrize(
    ("cell", "member", "sentence"),
    [
        ({"lang": "3"}, "language", "'3', which is not in its map"),
        ({"consent": "02/01/2026"}, "enrolled_on", "Invalid isoformat"),
        ({"redcap_data_access_group": "quito_clinic"}, "site", "not in its map"),
        ({"email": "x" * 301}, "contact.email", "too long"),
        ({"ppt_code": "no code"}, "code", "cannot be"),
    ],
)
def test_value_that_cannot_be_is_a_problem_of_its_member(
    cell: dict[str, str], member: str, sentence: str
) -> None:
    ((told, why),) = read_record(ROSTER, "15", [{**ROW, **cell}]).problems
    assert told == member
    assert sentence in why


_cell = st.text(max_size=400) | st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=5)


@given(row=st.dictionaries(st.sampled_from([*ROW, "redcap_repeat_instance"]), _cell))
def test_whatever_a_record_has_is_read_to_what_can_be_kept_or_a_problem(row: dict[str, str]) -> None:
    for record, rows in by_record([row, {**ROW, **row}], "record_id").items():
        said = read_record(ROSTER, record, rows)
        for text in [record, said.code or "", *(value or "" for value in said.values.values())]:
            assert "\0" not in text.encode().decode()
        known = with_changes(Known(State(None, "screened"), Contact()), said.values, record)
        assert known.state.redcap_id == record
        repr(said.problems).encode()


@pytest.mark.parametrize(
    ("last", "here", "there", "expected"),
    [
        ("never", None, None, "same"),
        ("never", "es", "es", "same"),
        ("never", None, "es", "take"),
        ("never", "es", None, "keep"),
        ("never", "es", "qu", "conflict"),
        ("es", "qu", "es", "keep"),
        ("es", None, "es", "keep"),
        ("es", "es", "qu", "take"),
        ("es", "es", None, "take"),
        ("es", "qu", "pt", "conflict"),
        ("es", "qu", None, "conflict"),
        (None, None, "es", "take"),
        (None, "es", None, "keep"),
        (None, "es", "qu", "conflict"),
    ],
)
def test_member_is_decided_by_what_was_taken_what_is_here_and_what_redcap_has(
    last: str | None, here: str | None, there: str | None, expected: str
) -> None:
    ever = last != "never"
    assert verdict(last if ever else None, here, there, ever=ever, told=lambda text: [text]) == expected


_value = st.sampled_from([None, "a", "b", "c"])


@given(last=_value, here=_value, there=_value, ever=st.booleans())
def test_edit_here_is_never_overwritten(
    last: str | None, here: str | None, there: str | None, *, ever: bool
) -> None:
    known = last if ever else None
    if verdict(known, here, there, ever=ever, told=lambda text: [text]) == "take":
        assert here == known


@pytest.mark.parametrize(
    ("of_record", "of_code", "was", "code", "expected"),
    [
        (Holder("s1", "15"), Holder("s1", "15"), "s1", "s1", ("s1", False, False, None)),
        (Holder("s1", "15"), None, "s1", None, ("s1", False, False, None)),
        (Holder("s1", "15"), Holder("s9", None), "s1", "s9", (None, False, False, "REDCap calls it s9")),
        (None, None, None, None, (None, False, False, "ppt_code is empty")),
        (None, Holder("s1", None), None, "s1", ("s1", False, True, None)),
        (None, Holder("s1", None), "s1", "s1", (None, False, False, "took the record from s1")),
        (None, Holder("s1", "16"), None, "s1", (None, False, False, "of the record 16")),
        (None, None, None, "s2", ("s2", True, True, None)),
        (None, None, None, "erased", (None, False, False, "was erased")),
    ],
)
def test_who_a_record_is(
    of_record: Holder | None,
    of_code: Holder | None,
    was: str | None,
    code: str | None,
    expected: tuple[str | None, bool, bool, str | None],
) -> None:
    said = Said(record="15", code=code, values={})
    who = who_is(
        said, ROSTER, of_record=of_record, of_code=of_code, was=was, is_erased=lambda each: each == "erased"
    )
    assert (who.code, who.creates, who.links) == expected[:3]
    assert (expected[3] or "") in (who.problem or "")
    assert (who.problem is None) == (expected[3] is None)


def test_nobody_is_created_where_the_mapping_says_so() -> None:
    silent = msgspec.structs.replace(ROSTER, create=False)
    said = Said(record="15", code="s2", values={})
    who = who_is(said, silent, of_record=None, of_code=None, was=None, is_erased=lambda _: False)
    assert who.problem == "s2 is not on the roster, and the mapping creates nobody."


def test_pull_after_pull_takes_edits_of_redcap_keeps_those_here_and_lists_both() -> None:
    said = read_record(ROSTER, "15", [ROW])
    first = compare(ROSTER, said, {}, {}, prints)
    assert first.changes == {name: value for name, value in said.values.items() if value is not None}
    known = with_changes(Known(State(None, "enrolled"), Contact()), first.changes, "15")
    assert known.state == State("lima", "enrolled", "es", date(2026, 1, 2), "15")
    assert known.contact == Contact(email="planted@example.org")
    assert "planted" not in repr(first.taken)
    again = compare(ROSTER, said, local_values(known), first.taken, prints)
    assert (again.changes, again.conflicts, again.taken) == ({}, {}, first.taken)
    rotated = {**first.taken, "contact.email": prints("planted@example.org")[1]}
    assert compare(ROSTER, said, local_values(known), rotated, prints).changes == {}
    here = {**local_values(known), "language": "qu", "contact.email": "mine@example.org"}
    kept = compare(ROSTER, said, here, first.taken, prints)
    assert (kept.changes, kept.conflicts, kept.to_push) == ({}, {}, {"language": "qu"})
    edited = read_record(ROSTER, "15", [{**ROW, "lang": "", "email": "theirs@example.org", "consent": ""}])
    both = compare(ROSTER, edited, here, first.taken, prints)
    assert both.changes == {"enrolled_on": None}
    assert both.conflicts == {
        "language": Conflict("qu", None),
        "contact.email": Conflict("(a contact)", "(a contact)"),
    }
    assert both.taken == {**first.taken, "enrolled_on": None}


@pytest.mark.parametrize(
    ("last", "here", "there", "outcome"),
    [
        ({}, None, "theirs", ({}, {}, set())),
        ({}, "ours", None, ({"contact.note": "ours"}, {"contact.note": None}, set())),
        ({}, "ours", "theirs", ({}, {}, {"contact.note"})),
        ({"contact.note": None}, "ours", None, ({"contact.note": "ours"}, {"contact.note": None}, set())),
        ({"contact.note": None}, None, "theirs", ({}, {"contact.note": None}, {"contact.note"})),
    ],
)
def test_member_that_is_pushed_only_is_never_taken(
    last: dict[str, str | None],
    here: str | None,
    there: str | None,
    outcome: tuple[dict[str, str], dict[str, str | None], set[str]],
) -> None:
    said = Said(record="15", code="s1", values={"contact.note": there})
    found = compare(ROSTER, said, {"contact.note": here}, last, prints)
    assert found.changes == {}
    assert (found.to_push, found.taken, set(found.conflicts)) == outcome


def test_site_is_never_taken_away() -> None:
    said = Said(record="15", code="s1", values={"site": None})
    assert compare(ROSTER, said, {"site": "lima"}, {"site": "lima"}, prints).changes == {}

"""What a push would do, cell by cell."""

import msgspec
import pytest

from reporting.redcap.comparison import blocked, compare, is_same, summarise
from reporting.redcap.target import Address, Target, Unmapped

ADDRESS = Address("17", "baseline_arm_1", "cog")


def compared(
    values: dict[str, str], last: dict[str, str] | None, remote: dict[str, str] | None
) -> tuple[str, dict[str, str]]:
    target = Target(address=ADDRESS, repeat="instrument", key_field="uid", values=values)
    row = compare("south", "s-1", target, instance=2, last=last, remote=remote)
    return row.kind, {cell.column: cell.kind for cell in row.cells}


@pytest.mark.parametrize(
    ("last", "remote", "new", "kind", "cell"),
    [
        (None, None, "1", "create", "set"),
        ("1", None, "1", "create", "set"),
        (None, "", "1", "update", "set"),
        (None, "", "", "unchanged", None),
        (None, "1", "1", "unchanged", None),
        (None, "2", "1", "edited", "edited"),
        ("1", "1", "1", "unchanged", None),
        ("1", "1", "2", "update", "changed"),
        ("1", "1", "", "update", "cleared"),
        ("", "", "2", "update", "set"),
        ("1", "2", "1", "edited", "edited"),
        ("1", "2", "2", "unchanged", None),
        ("1", "2", "3", "edited", "edited"),
        ("1", "", "1", "edited", "edited"),
        ("1.0", "1.0 ", "1.0", "unchanged", None),
        ("1.0", "1", "1.0", "edited", "edited"),
    ],
)
def test_a_cell_is_judged_by_what_was_sent_what_is_there_and_what_is_new(
    last: str | None, remote: str | None, new: str, kind: str, cell: str | None
) -> None:
    found = compared(
        {"x": new}, None if last is None else {"x": last}, None if remote is None else {"x": remote}
    )
    assert found == (kind, {} if cell is None else {"x": cell})


def test_a_person_who_edits_one_cell_makes_the_row_edited_and_each_cell_says_what_it_is() -> None:
    last = {"a": "1", "b": "1", "c": "1", "d": "1", "redcap_data_access_group": "south"}
    remote = {"a": "1", "b": "9", "c": "1", "d": "1"}
    new = {"a": "2", "b": "2", "c": "", "d": "1", "redcap_data_access_group": "north"}
    assert compared(new, last, remote) == ("edited", {"a": "changed", "b": "edited", "c": "cleared"})


def test_a_box_that_was_never_saved_is_not_ticked_and_a_number_has_no_such_blank() -> None:
    assert is_same("flags___1", "", "0")
    assert is_same("cog_complete", "0", "")
    assert is_same("note", "a\r\nb ", "a\nb")
    assert not is_same("n_trials", "", "0")
    assert not is_same("flags___1", "", "1")


def test_rows_are_counted_by_kind_and_are_an_api_answer() -> None:
    target = Target(address=ADDRESS, repeat="none", key_field=None, values={"x": "1", "y": ""})
    rows = [
        compare("south", "a", target, instance=None, last=None, remote=None),
        compare("south", "b", target, instance=1, last=None, remote={"x": "", "y": ""}),
        compare("south", "c", target, instance=1, last={"x": "1"}, remote={"x": "1", "y": ""}),
        compare("south", "d", target, instance=1, last={"x": "1"}, remote={"x": "2", "y": ""}),
        compare("south", "e", target, instance=1, last={"x": "1"}, remote=None),
        blocked("south", "f", Unmapped(path="$.instruments[0].event", message="it has no visit", form="cog")),
    ]
    assert [row.is_gone for row in rows] == [False, False, False, False, True, False]
    assert rows[-1].reason == "$.instruments[0].event: it has no visit"
    assert msgspec.to_builtins(summarise(rows)) == {
        "create": 2,
        "update": 1,
        "unchanged": 1,
        "edited": 1,
        "blocked": 1,
        "cells": 4,
    }
    assert msgspec.json.decode(msgspec.json.encode(rows[1]))["cells"] == [
        {"column": "x", "kind": "set", "last": None, "before": "", "after": "1"}
    ]

"""Corrections as documents: as strict as what tablets write."""

from typing import Any

import pytest

from reporting.documents.corrections import correction_id, correction_number, session_key
from reporting.documents.kinds import Correction, Invalid
from reporting.documents.validate import validate
from tests.documents.examples import SITE, a_correction, a_patch, a_resolution, a_session, encode, nested

PATCH = a_patch("s1", 1, {"status": "completed"}, {"status": "lost"})
VALUE = {"path": "$.visit", "value": "a", "base": ["a", "b"]}


def problem(document: dict[str, Any]) -> tuple[str, str]:
    found = validate(document["_id"], encode(document), site=SITE)
    assert isinstance(found, Invalid), found
    return found.code, found.path


def test_patch_and_resolution_as_documented_are_valid() -> None:
    patch = validate(PATCH["_id"], encode(PATCH), site=SITE)
    assert isinstance(patch, Correction)
    assert (patch.id, patch.session, patch.number, patch.kind) == ("correction:s1:1", "s1", 1, "patch")
    assert (patch.patch, patch.base) == ({"status": "completed"}, {"status": "lost"})
    document = a_resolution("with:colons:7", 12, VALUE)
    resolution = validate(document["_id"], encode(document), site=SITE)
    assert isinstance(resolution, Correction)
    assert (resolution.session, resolution.number) == ("with:colons:7", 12)
    assert [each.value for each in resolution.values] == ["a"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({**PATCH, "_id": "correction:s2:1"}, ("id_mismatch", "$.session")),
        ({**PATCH, "_id": "correction:s1"}, ("id_mismatch", "$.session")),
        ({**PATCH, "_id": "correction:s1:01"}, ("id_mismatch", "$.session")),
        ({**PATCH, "_id": "correction:s1:0"}, ("id_mismatch", "$.session")),
        ({**PATCH, "_id": "correction:s1:²"}, ("id_mismatch", "$.session")),
        ({**PATCH, "_id": "correction:s1:2147483648"}, ("id_mismatch", "$.session")),
        ({**PATCH, "site": "nairobi"}, ("wrong_site", "$.site")),
        ({**PATCH, "site": None}, ("wrong_type", "$.site")),
        ({**PATCH, "schema": 2}, ("unknown_schema", "$.schema")),
        ({**PATCH, "kind": "withdrawal"}, ("unknown_value", "$.kind")),
        ({**PATCH, "reason": ""}, ("empty", "$.reason")),
        ({**PATCH, "author": ""}, ("empty", "$.author")),
        ({**PATCH, "made_at": "2016-07-23T08:00:00"}, ("bad_time", "$.made_at")),
        ({**PATCH, "made_at": "0001-01-01T00:00:00Z"}, ("out_of_range", "$.made_at")),
        ({**PATCH, "base": None}, ("missing_member", "$.base")),
        ({**PATCH, "patch": []}, ("wrong_type", "$.patch")),
        ({**PATCH, "values": [VALUE]}, ("unexpected_member", "$.values")),
        (a_patch("s1", 1, {}, {}), ("empty", "$.patch")),
        (a_patch("s1", 1, {"_id": "session:s2"}, {}), ("not_patchable", "$.patch._id")),
        (a_patch("s1", 1, {"_anything": 1}, {}), ("not_patchable", "$.patch._anything")),
        (a_patch("s1", 1, {"type": None}, {}), ("not_patchable", "$.patch.type")),
        (a_patch("s1", 1, {"schema": 2}, {}), ("not_patchable", "$.patch.schema")),
        (a_patch("s1", 1, {"site": "nairobi"}, {}), ("not_patchable", "$.patch.site")),
        (a_patch("s1", 1, {"a": nested(100)}, {}), ("too_deep", "$.patch")),
        (a_correction("s1", 1, kind="resolution"), ("missing_member", "$.values")),
        (a_resolution("s1", 1), ("wrong_type", "$.values")),
        (a_resolution("s1", 1, VALUE, patch={}), ("unexpected_member", "$.patch")),
        (a_resolution("s1", 1, VALUE, VALUE), ("duplicate_path", "$.values[1].path")),
        (a_resolution("s1", 1, {**VALUE, "base": []}), ("wrong_type", "$.values[0].base")),
    ],
)
def test_wrong_correction_is_quarantined(document: dict[str, Any], expected: tuple[str, str]) -> None:
    assert problem(document) == expected


def test_a_correction_may_not_hide_under_another_id() -> None:
    assert problem({**PATCH, "_id": "study:s1"}) == ("type_mismatch", "$.type")
    assert problem({**a_session("s1"), "_id": "correction:s1:1"}) == ("type_mismatch", "$.type")


def test_number_and_session_are_told_from_the_id() -> None:
    for session in ("s1", "with:colons", "", "x" * 300):
        assert correction_number(correction_id(session, 7), session) == 7
    assert correction_number("correction:s1:2:7", "s1") is None
    assert correction_number("session:s1:7", "s1") is None
    assert session_key("correction:s1:2:7") == "session:s1:2"
    assert session_key("correction:s1") is None
    assert session_key("session:s1") is None

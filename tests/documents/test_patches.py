"""Merge patches as RFC 7396 has them, and when one was made against something else."""

import copy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.documents.kinds import Correction
from reporting.documents.patches import (
    SHOWN_BYTES,
    Outdated,
    apply_patches,
    base_of,
    depth,
    merge_patch,
    patched_members,
    spell_path,
    value_at,
)
from tests.documents.examples import nested

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab\0", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)

# RFC 7396, appendix A: original, patch, result.
EXAMPLES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


def a_patch(number: int, patch: dict[str, Any], base: dict[str, Any]) -> Correction:
    return Correction(
        f"correction:s1:{number}",
        "s1",
        number,
        "patch",
        "why",
        "c@clinic.example",
        datetime(2016, 7, 23, tzinfo=UTC),
        patch=patch,
        base=base,
    )


def patched(document: Any, *patches: Correction) -> tuple[Any, list[Outdated]]:
    found = apply_patches(msgspec.json.encode(document), patches)
    return msgspec.json.decode(found.body), sorted(found.outdated)


@pytest.mark.parametrize(("original", "patch", "result"), EXAMPLES)
def test_patch_does_what_the_rfc_says(original: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(original)
    assert merge_patch(original, patch) == result
    assert original == before


@given(OBJECTS, OBJECTS)
def test_patch_twice_is_patch_once_and_its_base_is_what_it_replaces(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((document, patch))
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
    base = base_of(patch, document)
    for path, _ in patched_members(patch):
        assert value_at(base, path) in (value_at(document, path), {})
    assert (document, patch) == before


@given(OBJECTS, OBJECTS)
def test_patch_made_of_what_it_finds_is_never_outdated(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    for found in (document, merge_patch(document, patch)):
        assert patched(found, a_patch(1, patch, base_of(patch, document)))[1] == []


def test_patch_is_outdated_where_the_tablet_says_something_new() -> None:
    patch = a_patch(
        1, {"status": "completed", "device": {"os": None}}, {"status": "lost", "device": {"os": "X"}}
    )
    assert patched({"status": "lost", "device": {"os": "X", "id": 1}}, patch) == (
        {"status": "completed", "device": {"id": 1}},
        [],
    )
    assert patched({"status": "gone", "device": {"os": "X"}}, patch)[1] == [
        Outdated("correction:s1:1", "$.status", "completed", "gone")
    ]
    assert patched({"status": "completed", "device": "none"}, patch)[1] == [
        Outdated("correction:s1:1", "$.device.os", None, "none")
    ]


def test_base_that_was_read_without_nul_is_still_what_the_tablet_says() -> None:
    patch = a_patch(1, {"a": ["x"], "b": None}, {"a": ["x\ufffd", 1], "b": {"\ufffd": 1}})
    assert patched({"a": ["x\0", 1], "b": {"\0": 1}, "c": "\0"}, patch) == ({"a": ["x"], "c": "\0"}, [])


def test_later_patch_of_the_same_place_is_the_only_one_compared() -> None:
    first = a_patch(1, {"status": "completed", "visit": "a"}, {"status": "lost", "visit": "x"})
    for later in ({"status": "abandoned"}, {"status": {"was": 1}}, {"status": None}):
        second = a_patch(10, later, {"status": "gone"})
        document, outdated = patched({"status": "gone", "visit": "x"}, second, first)
        assert document.get("status") == later["status"]
        assert document["visit"] == "a"
        assert outdated == []
    unrelated = a_patch(2, {"language": "en"}, {"language": None})
    assert [each.correction for each in patched({"status": "gone"}, first, unrelated)[1]] == [
        "correction:s1:1",
        "correction:s1:1",
    ]


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b'{"a": "\\ud800"}', b"[" * 5000])
def test_body_that_is_no_object_stays_as_it_is(body: bytes) -> None:
    assert apply_patches(body, [a_patch(1, {"a": 1}, {})]).body == body


def test_value_is_listed_without_nul_and_large_ones_by_their_size() -> None:
    outdated = patched({"a": "x\0", "b": "y" * SHOWN_BYTES}, a_patch(1, {"a": 1, "b": 2}, {}))[1]
    assert outdated == [
        Outdated("correction:s1:1", "$.a", 1, "x\ufffd"),
        Outdated("correction:s1:1", "$.b", 2, {"omitted_bytes": SHOWN_BYTES + 2}),
    ]


def test_deep_patch_is_applied_without_recursion() -> None:
    patch: dict[str, Any] = {"x": 1}
    for _ in range(20_000):
        patch = {"a": patch}
    assert depth(patch) == 20_001
    assert depth(base_of(patch, merge_patch({}, patch))) == 20_001
    assert depth(nested(3)) == 3


def test_path_is_spelled_plainly_and_never_longer_than_a_key() -> None:
    assert spell_path(("device", "os")) == "$.device.os"
    assert spell_path(("odd name", 'q"')) == '$["odd name"]["q\\""]'
    assert len(spell_path(("a" * 5000,))) == 160

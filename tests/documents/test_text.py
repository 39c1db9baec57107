"""Text that Postgres can hold."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reporting.documents.text import MAX_KEY_CHARACTERS, key_text, without_nul_deep
from tests.documents.examples import nested

texts = st.text(st.sampled_from("a\0\ufffd\\\t"), max_size=4)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_no_nul_is_left_and_nothing_else_changes(value: Any) -> None:
    before = copy.deepcopy(value)
    cleaned, replaced = without_nul_deep(value)
    assert value == before
    assert replaced == ("\\x00" in repr(value))
    assert "\\x00" not in repr(cleaned)
    if not replaced:
        assert cleaned == value


def test_nul_is_found_at_any_depth() -> None:
    deep = [nested(499), ["\0"]]
    assert without_nul_deep(deep) == ([nested(499), ["\ufffd"]], True)


def test_short_key_is_spelled_as_it_is() -> None:
    assert key_text("session:0afde8f0") == "session:0afde8f0"


@given(st.text(max_size=400), st.text(max_size=400))
def test_key_is_short_without_nul_and_the_same_only_for_the_same_text(one: str, other: str) -> None:
    key = key_text(one)
    assert len(key) <= MAX_KEY_CHARACTERS
    assert "\0" not in key
    assert key == key_text(one)
    assert (key == key_text(other)) == (one == other)

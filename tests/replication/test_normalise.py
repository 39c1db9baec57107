r"""Lone surrogates and numbers beyond float64 cost neither the batch nor the rest of their document."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import BadRequest
from replication.wire.decode import Incoming
from replication.wire.normalise import NUMBER_NOTE, SURROGATE_NOTE, normalise
from tests.replication.json_texts import decoded, nested, values

HUGE = "9" * 400


def judged(content: bytes) -> Incoming:
    """The document with this `x`, sent between two others."""
    first, incoming, last = decoded(
        b'{"_id":"a","_rev":"1-a"}',
        b'{"_id":"b","_rev":"1-a","x":' + content + b',"y":[1]}',
        b'{"_id":"c","_rev":"1-a"}',
    )
    assert first.edit is not None
    assert last.edit is not None
    assert first.original is last.original is None
    return incoming


@pytest.mark.parametrize(
    ("sent", "stored", "note"),
    [
        (r'"\ud83d"', '"\ufffd"', SURROGATE_NOTE),
        (r'"a\uDE00b"', '"a\ufffdb"', SURROGATE_NOTE),
        (r'"\ude00\ud83d"', '"\ufffd\ufffd"', SURROGATE_NOTE),
        (r'"\ud83d\ud83d\ude00"', '"\ufffd\U0001f600"', SURROGATE_NOTE),
        (r'"\ud83d\u0041"', '"\ufffdA"', SURROGATE_NOTE),
        (r'{"\ud83d":1}', '{"\ufffd":1}', SURROGATE_NOTE),
        (r'"\\\ud83d"', '"\\\\\ufffd"', SURROGATE_NOTE),
        ("1e999", "null", NUMBER_NOTE),
        ("[-1e999,1]", "[null,1]", NUMBER_NOTE),
        ("1.8e308", "null", NUMBER_NOTE),
        (HUGE, "null", NUMBER_NOTE),
        (f"-{HUGE}", "null", NUMBER_NOTE),
        ("9" * 10_000, "null", NUMBER_NOTE),
    ],
)
def test_what_cannot_be_kept_is_mended_and_told(sent: str, stored: str, note: str) -> None:
    incoming = judged(sent.encode())
    assert incoming.edit is not None
    assert json.loads(incoming.edit.body) == {"x": json.loads(stored), "y": [1]}
    assert incoming.notes == (note,)
    assert incoming.original == b'{"_id":"b","_rev":"1-a","x":' + sent.encode() + b',"y":[1]}'


@pytest.mark.parametrize(
    "sent",
    [
        r'"\ud83d\ude00"',
        r'"\\ud83d"',
        r'"\ufffd"',
        "1.7e308",
        "1e-999",
        "12345678901234567890123456789012345678901234567890",
        "0." + "1" * 400,
        f'"{HUGE}"',
        '"1e999"',
    ],
)
def test_what_can_be_kept_is_kept_to_the_letter(sent: str) -> None:
    incoming = judged(sent.encode())
    assert incoming.edit is not None
    assert incoming.edit.body == b'{"x":' + sent.encode() + b',"y":[1]}'
    assert (incoming.notes, incoming.original) == ((), None)


def test_a_document_may_need_both() -> None:
    assert set(judged(rb'["\ud83d",1e999]').notes) == {SURROGATE_NOTE, NUMBER_NOTE}


def test_the_deepest_document_that_is_stored_can_be_mended_too() -> None:
    deepest = nested(498)
    incoming = judged(rb'["\ud83d",' + deepest + b"]")
    assert incoming.edit is not None
    assert incoming.edit.body == rb'{"x":["\ufffd",' + deepest + b'],"y":[1]}'


def test_a_document_that_is_both_broken_and_refused_keeps_its_original() -> None:
    (incoming,) = decoded(rb'{"_id":"a","_rev":"1-a","_unknown":1,"x":"\ud83d"}')
    assert incoming.refusal is not None
    assert incoming.original is not None


any_characters = st.text(st.characters(categories=["Cs", "Ll"], max_codepoint=0xFFFF), max_size=6)


@given(st.lists(any_characters, max_size=4), st.booleans())
def test_any_mixture_of_surrogates_becomes_text_that_can_be_written(parts: list[str], indented: bool) -> None:
    sent = json.dumps(parts, indent=1 if indented else None)
    mended = normalise(sent.encode())
    expected = [
        part.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for part in json.loads(sent)
    ]
    assert json.loads(mended.text) == expected
    assert bool(mended.notes) is (expected != json.loads(sent))


@given(values)
def test_a_text_that_needs_no_mending_is_left_alone(value: Any) -> None:
    text = json.dumps(value).encode()
    assert normalise(text) == (text, ())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b"01", b"1e", b"nope", b'"', b"[1e999,]", b'{"a" 1}', b"\xff"]
)
def test_what_is_not_json_is_not_mended(text: bytes) -> None:
    with pytest.raises(BadRequest):
        normalise(text)

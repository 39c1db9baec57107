"""A mapping as a person writes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.redcap.mapping import Mapping
from reporting.redcap.mapping_text import CannotRead, as_yaml, kept, read_mapping
from tests.redcap.cases import instrument, mapping

TEXT = """
project: {key: studyA, record_id: {from: participant.redcap_id}}
instruments:
  - battery: self-regulation
    event: {by: visit, map: {baseline: baseline_arm_1, retest: retest_arm_1}}
    form: cog_session
    repeat: {mode: instrument, key_field: cog_session_uid}      # none | instrument | event
    fields:
      cog_srt_ms: {from: scores.simple_reaction_time.avg_rt, as: number, dp: 1}
      cog_flags:  {from: flags, as: checkbox, codes: {late: 1, noisy: 2}}
    complete: {from: status, map: {completed: 2, abandoned: 0}}
"""


def _one(fields: str) -> str:
    return f"project: {{key: a}}\ninstruments:\n  - form: cog\n    fields:\n      {fields}\n"


def test_the_same_is_read_from_yaml_json_bytes_and_what_is_kept() -> None:
    found = read_mapping(TEXT)
    assert found.instruments[0].fields["cog_flags"].codes == {"late": 1, "noisy": 2}
    value = kept(found)
    assert read_mapping(value) == found
    assert read_mapping(json.dumps(value)) == found
    assert read_mapping(json.dumps(value, indent="\t").encode()) == found
    assert read_mapping(as_yaml(found)) == found
    other = mapping(instrument(dag="south"), instrument(visits=("no", "01")))
    assert kept(read_mapping(as_yaml(other))) == kept(other)


def test_codes_and_answers_stay_what_was_written() -> None:
    text = _one("cog_x: {from: visit, as: choice, map: {no: 01, yes: 1, 01: on, 12:30: x, 2026-01-01: 0x1F}}")
    assert read_mapping(text).instruments[0].fields["cog_x"].map == {
        "no": "01",
        "yes": 1,
        "01": "on",
        "12:30": "x",
        "2026-01-01": "0x1F",
    }


PAIRS = zip("abcdefg", "bcdefgh", strict=True)
BOMB = "a: &a [x, x]\n" + "\n".join(f"{c}: &{c} [*{b}, *{b}]" for b, c in PAIRS)
F = "$.instruments[0].fields"
FIELDS = "\n      ".join(f"cog_{n}: {{from: visit}}" for n in range(300))


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("", "$", "Expected `object`, got `null`.", None),
        ("just words", "$", "Expected `object`, got `str`.", None),
        ("a: [", "$", "Line 2: ", None),
        ("a: 1\n---\nb: 2", "$", "Line 2: ", None),
        ("a: 1\nb: 2\na: 3", "$", "Line 3: the key 'a' is there twice.", None),
        ('{"a": 1, "a": 2}', "$", "The key 'a' is there twice in one object.", None),
        (BOMB, "$", "Line 2: aliases are not taken", None),
        ("a: !!python/object/apply:os.system [ls]", "$", "Line 1: tags are not taken.", None),
        ("a: !!binary aGFsbG8=", "$", "Line 1: tags are not taken.", None),
        ("? [a, b]\n: 1", "$", "Line 1: a key that is no text.", None),
        ("true: 1", "$", "The key 'True' is no text.", "Put it in quotes."),
        ("[" * 50, "$", "Line 1: it is nested too deeply.", None),
        ('{"a":' * 5000, "$", "", None),
        ('{"a":' * 30 + "1" + "}" * 30, "$" + ".a" * 21, "It is nested too deeply.", None),
        ('{"a": {"b": 1e999}}', "$.a.b", "It is no number.", None),
        ('{"a": [1, NaN]}', "$.a[1]", "It is no number.", None),
        ('{"a": ' + "9" * 30 + "}", "$.a", "The number is too large.", "Put it in quotes."),
        ('{"a": "x\\u0000"}', "$.a", "It has characters that cannot be kept.", None),
        ('{"a\\ud800": 1}', "$", "A key has characters that cannot be kept.", None),
        ("[" + "a," * 120_000 + "]", "$", "It has more than 100000 parts.", None),
        ("#" * 500_001, "$", "The text is longer than", None),
        (b"\xff\xfe\xfa", "$", "The text is not UTF-8.", None),
        ("a: \x00", "$", "It is no YAML: ", None),
        ("a: '\ud800'", "$", "It has characters that are none.", None),
        ("project: {key: a}", "$", "Object missing required field `instruments`.", None),
        ("projet: {key: a}", "$", "Object contains unknown field `projet`.", "Did you mean project?"),
        (_one("x: {from: visit, az: text}"), f"{F}.x", "Object contains", "There is: from"),
        (_one("x: {from: visit, as: numeric}"), f"{F}.x.as", "Invalid enum", "There is: text, number"),
        (_one(FIELDS + "\n      y: {from: visit, dp: 11}"), f"{F}.y.dp", "Expected `int` <= 10", None),
        (_one("Cog-X: {from: visit}"), f"{F}.Cog-X", "Expected `str` matching regex", None),
        (_one("x: {from: visit, map: {a: true}}"), f"{F}.x.map.a", "Expected `int | str`", "If a text"),
        ("project: {key: 'a b'}\ninstruments: []", "$.project.key", "Expected `str` matching", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where_and_what_there_is(
    text: str | bytes, path: str, message: str, hint: str | None
) -> None:
    with pytest.raises(CannotRead) as caught:
        read_mapping(text)
    error = caught.value
    assert (error.path, error.message[: len(message)]) == (path, message)
    assert (error.hint or "").startswith(hint or "")


@given(st.one_of(st.text(), st.binary(), st.text(alphabet="{}[]:,-&*!|>'\"%@ \nab1~")))
def test_anything_is_a_mapping_or_cannot_be_read(text: str | bytes) -> None:
    try:
        found = read_mapping(text)
    except CannotRead:
        return
    assert isinstance(found, Mapping)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(-(10**17), 10**17)), max_size=5))
def test_what_is_kept_or_shown_is_read_back(values: dict[str, Any]) -> None:
    given_ = kept(mapping(instrument()))
    given_["instruments"][0]["fields"]["cog_text"] = {"from": "visit", "map": values}
    try:
        found = read_mapping(given_)
    except CannotRead:
        return
    assert read_mapping(json.dumps(kept(found))) == found
    assert read_mapping(as_yaml(found)) == found

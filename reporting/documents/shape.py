"""A decoder's complaint → a quarantine reason that a person can act on.

The decoder says ``Expected `int`, got `str` - at `$.tasks[1].run` ``. A coordinator needs the value that is
there, what has to be there instead, and a code to group by that does not change with the decoder's version.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from reporting.documents.kinds import Invalid
from reporting.documents.text import without_nul

_LONGEST_QUOTE = 60

_WHERE = re.compile(r" - at `(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<member>\w+)|\[(?P<position>\d+)\]")

# The decoder's words for JSON types, and ours.
_JSON_TYPES: Final = {
    "int": "an integer",
    "float": "a number with a fraction",
    "bool": "true or false",
    "str": "a string",
    "null": "null",
    "object": "an object",
    "array": "an array",
    "datetime": "a time (RFC 3339, in quotes)",
}


def describe_failure(complaint: str, raw: Any) -> Invalid:
    """The reason for a `msgspec.ValidationError` whose text is `complaint`, on the untyped document `raw`."""
    where = _WHERE.search(complaint)
    path = where["path"] if where else "$"
    what = complaint[: where.start()] if where else complaint
    for pattern, describe in _DESCRIPTIONS:
        match = pattern.match(what)
        if match:
            return describe(match, path, quote(_look_up(raw, path)))
    return Invalid("wrong_type", path, f"{path} is {quote(_look_up(raw, path))}: {what}.")


def quote(value: Any) -> str:
    """A value as JSON, short enough for a sentence. Only its beginning where it is long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = without_nul(msgspec.json.encode(value).decode())
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _look_up(raw: Any, path: str) -> Any:
    value = raw
    for step in _STEP.finditer(path):
        member, position = step["member"], step["position"]
        if member is not None and isinstance(value, dict):
            value = value.get(member)
        elif position is not None and isinstance(value, list) and int(position) < len(value):
            value = value[int(position)]
        else:
            return None
    return value


def _missing(match: re.Match[str], path: str, _: str) -> Invalid:
    member = f"{path}.{match['member']}"
    return Invalid("missing_member", member, f"{member} is missing: it is required.")


def _no_zone(_: re.Match[str], path: str, found: str) -> Invalid:
    return Invalid(
        "bad_time", path, f"{path} is {found}, without a zone: add `Z` or an offset such as `-05:00`."
    )


def _no_time(_: re.Match[str], path: str, found: str) -> Invalid:
    return Invalid(
        "bad_time", path, f"{path} is {found}: it has to be an RFC 3339 time such as 2016-07-22T03:01:35Z."
    )


def _no_status(_: re.Match[str], path: str, found: str) -> Invalid:
    known = "patch or resolution" if path == "$.kind" else "in_progress, completed or abandoned"
    return Invalid("unknown_value", path, f"{path} is {found}: it has to be {known}.")


def _out_of_range(match: re.Match[str], path: str, found: str) -> Invalid:
    return Invalid("out_of_range", path, f"{path} is {found}: it has to be {match['side']} {match['bound']}.")


def _empty(_: re.Match[str], path: str, __: str) -> Invalid:
    return Invalid("empty", path, f"{path} is an empty string: it has to name something.")


def _too_long(match: re.Match[str], path: str, found: str) -> Invalid:
    return Invalid(
        "too_long", path, f"{path} begins {found}: it may have {match['bound']} characters at most."
    )


def _wrong_type(match: re.Match[str], path: str, found: str) -> Invalid:
    expected = " or ".join(_JSON_TYPES.get(part, part) for part in match["expected"].split(" | "))
    return Invalid("wrong_type", path, f"{path} is {found}: it has to be {expected}.")


_DESCRIPTIONS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str, str], Invalid]], ...]] = (
    (re.compile(r"Object missing required field `(?P<member>\w+)`"), _missing),
    (re.compile(r"Expected `datetime` with a timezone component"), _no_zone),
    (re.compile(r"Invalid RFC3339 encoded datetime"), _no_time),
    (re.compile(r"Invalid enum value"), _no_status),
    (re.compile(r"Expected `(?:int|float)` (?P<side><=|>=) (?P<bound>-?\d+)"), _out_of_range),
    (re.compile(r"Expected `str` of length >= 1"), _empty),
    (re.compile(r"Expected `str` of length <= (?P<bound>\d+)"), _too_long),
    (re.compile(r"Expected `(?P<expected>[^`]+)`, got `[^`]+`"), _wrong_type),
)

"""JSON Schemas (draft 2020-12) of what a task can be told, and parameters checked against them.

Whoever writes a schema decides what the server computes, so a schema may say only what costs no more than
its own size times the parameters': no references (a few nested ones multiply without end, a remote one is
fetched), no `patternProperties`, `format`, `contains` or `unevaluated…`; patterns are RE2's, which cannot
backtrack.

| schema | refused |
|---|---|
| a keyword that is not in KEYWORDS, anywhere | named, with its path |
| not a schema by the draft's own meta-schema (`"type": "text"`) | with the path |
| not of an object | parameters have names |
| a pattern that RE2 does not know | with the path |
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import re2
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from reporting.instruments.json_values import UnusableJson, canonical, check_json

MAX_SCHEMA_BYTES = 32 * 1024
MAX_PARAMETERS_BYTES = 16 * 1024

_ONE = frozenset({"additionalProperties", "items", "not", "if", "then", "else"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_PLAIN = frozenset(
    {
        *("$schema", "$comment", "title", "description", "default", "examples", "type", "enum", "const"),
        *("required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems"),
        *("minProperties", "maxProperties", "dependentRequired"),
    }
)
KEYWORDS = _ONE | _LISTS | _PLAIN | {"properties"}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class InvalidParameters(ValueError):
    """Parameters that their schema does not allow; `path` as in `$.span`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises UnusableJson where this is no schema of parameters; paths begin with `$.parameters`."""
    check_json(schema, "$.parameters", max_bytes=MAX_SCHEMA_BYTES)
    for path, part in _subschemas(schema, "$.parameters"):
        if isinstance(part, bool):
            continue
        if not isinstance(part, Mapping):
            raise UnusableJson(path, "a schema is an object, or true or false")
        unknown = sorted(set(part) - KEYWORDS)
        if unknown:
            raise UnusableJson(path, f"keywords that a schema may not have here: {', '.join(unknown)}")
        if "$schema" in part and part["$schema"] != DIALECT:
            raise UnusableJson(path, f"$schema may only be {DIALECT}")
        _check_pattern(part.get("pattern"), path)
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise UnusableJson(_path("$.parameters", error.absolute_path), error.message) from error
    if schema.get("type") != "object":
        raise UnusableJson("$.parameters.type", "parameters have names: the schema's type is object")


def check_parameters(parameters: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> None:
    """Raises InvalidParameters with the first problem, or UnusableJson; `path` is where they stand."""
    check_json(parameters, path, max_bytes=MAX_PARAMETERS_BYTES)
    try:
        error = next(iter(_Validator(dict(schema)).iter_errors(dict(parameters))), None)
    except ArithmeticError as failure:
        raise InvalidParameters(path, "a number that cannot be compared with its schema") from failure
    if error is not None:
        raise InvalidParameters(_path(path, error.absolute_path), error.message[:500])


def _subschemas(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, schema
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        at = f"{path}.{keyword}"
        if keyword in _ONE:
            yield from _subschemas(value, at)
        elif keyword in _LISTS and isinstance(value, list):
            for index, each in enumerate(value):
                yield from _subschemas(each, f"{at}[{index}]")
        elif keyword == "properties" and isinstance(value, Mapping):
            for name, each in value.items():
                yield from _subschemas(each, f"{at}.{name}")


def _check_pattern(pattern: Any, path: str) -> None:
    if isinstance(pattern, str):
        try:
            re2.compile(pattern, _QUIET)
        except re2.error as error:
            raise UnusableJson(f"{path}.pattern", f"no pattern that RE2 knows: {pattern[:100]}") from error


def _path(start: str, parts: Any) -> str:
    return start + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, str) and re2.search(pattern, instance, _QUIET) is None:
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique_items(_: Any, unique: bool, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """By their text: comparing each with each would take the square of their number."""
    if unique and isinstance(instance, list) and len({canonical(each) for each in instance}) < len(instance):
        yield jsonschema.ValidationError("it has non-unique elements")


_QUIET = re2.Options()
_QUIET.log_errors = False

_Validator: type[Validator] = extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
)

"""A mapping as a person writes it, in YAML or JSON, and as it is kept. Pure.

YAML is read as its version 1.2 says, as far as mappings need it: `no`, `on`, `01`, `12:30` and `2026-01-01`
are texts. A choice's code `01` must not become 1, nor an answer `no` a boolean.

| what is written | what follows |
|---|---|
| neither YAML nor JSON, more than one document | CannotRead, with the line |
| a key twice in one object: the first would be lost | CannotRead, with the line |
| an alias (`*a`): a short text may stand for gigabytes | CannotRead, with the line |
| a tag (`!!python/…`) | CannotRead, with the line |
| nested deeper, or longer, than any mapping is; numbers and characters that cannot be kept | CannotRead |
| numbers as keys, as in `map: {1: es}` | taken as text |
| a member that is not known, missing, or of the wrong kind | CannotRead, with its path and what there is |
"""

import json
import math
import re
from collections.abc import Mapping as MappingOf
from difflib import get_close_matches
from typing import Any, Final, get_args, get_type_hints

import msgspec
import yaml

from reporting.redcap.mapping import (
    CompleteMapping,
    EventChoice,
    FieldMapping,
    InstrumentMapping,
    Mapping,
    ProjectChoice,
    RecordChoice,
    Repeating,
)

DEEPEST: Final = 20
LONGEST: Final = 500_000
MOST_PARTS: Final = 100_000
"""Texts, objects and lists of a YAML: some ten thousand fields; reading them takes half a second."""

_LARGEST: Final = 10**18
_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")
"""What Postgres, or UTF-8, does not take."""

_AT: Final = re.compile(r" - at (`key` in )?`(\$[^`]*)`$")
_PARTS: Final = re.compile(r"\.([^.\[\]]+)|\[([0-9]+|\.\.\.)\]")
_LINE_ENDS: Final = re.compile("[\x85\u2028\u2029]")
"""PyYAML writes them bare, and reads them as the end of a line."""

_STRUCTS: Final[tuple[tuple[re.Pattern[str], type[msgspec.Struct]], ...]] = tuple(
    (re.compile(pattern), struct)
    for pattern, struct in (
        (r"\$", Mapping),
        (r"\$\.project", ProjectChoice),
        (r"\$\.project\.record_id", RecordChoice),
        (r"\$\.instruments\[\d+\]", InstrumentMapping),
        (r"\$\.instruments\[\d+\]\.event", EventChoice),
        (r"\$\.instruments\[\d+\]\.repeat", Repeating),
        (r"\$\.instruments\[\d+\]\.complete", CompleteMapping),
        (r"\$\.instruments\[\d+\]\.fields\.[^.\[\]]+", FieldMapping),
    )
)
"""Which struct is at which path; what is not here has no hint."""


class CannotRead(ValueError):
    """The text is no mapping; `path` in it (`$.instruments[0].fields.cog_x.as`), and a `hint`, if any."""

    def __init__(self, message: str, *, path: str = "$", hint: str | None = None) -> None:
        self.path = path
        self.message = message
        self.hint = hint
        super().__init__(message)


class _Loader(yaml.CSafeLoader):
    """Refuses what would be taken for something else than was meant."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 (PyYAML's own way of declaring them)


def _object_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(getattr(key, "value", ""))
        if not isinstance(key, yaml.ScalarNode) or name in seen:
            what = f"the key {name[:80]!r} is there twice" if name in seen else "a key that is no text"
            raise CannotRead(f"Line {key.start_mark.line + 1}: {what}.")
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _object_without_repeats)
for _tag, _pattern, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(0|[1-9][0-9]{0,17})", list("-0123456789")),
    ("float", r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}([eE][-+]?[0-9]{1,3})?", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read_mapping(given: bytes | str | MappingOf[str, Any]) -> Mapping:
    """The mapping; `given` is a text, or JSON that was decoded already. Raises CannotRead."""
    plain = given if isinstance(given, MappingOf) else _loaded(given)
    told = _with_text_keys(plain, "$", 0)
    try:
        return msgspec.convert(told, Mapping)
    except msgspec.ValidationError as error:
        raise _explained(str(error), told) from error


def kept(mapping: Mapping) -> Any:
    """The mapping as a JSON value, as it is kept; `read_mapping` takes it back."""
    return msgspec.json.decode(msgspec.json.encode(mapping))


def as_yaml(mapping: Mapping) -> str:
    """The mapping for a person to edit, without what is as by default."""
    value = _without_defaults(kept(mapping))
    text = _dumped(value, allow_unicode=True)
    return _dumped(value, allow_unicode=False) if _LINE_ENDS.search(text) else text


def _dumped(value: Any, *, allow_unicode: bool) -> str:
    """PyYAML quotes what other readers of YAML would take for something else than a text."""
    text: str = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=allow_unicode, width=100, default_flow_style=None
    )
    return text


def _without_defaults(value: Any) -> Any:
    """Members that are null say nothing in any of a mapping's structs."""
    match value:
        case dict():
            return {name: _without_defaults(each) for name, each in value.items() if each is not None}
        case list() | tuple():
            return [_without_defaults(each) for each in value]
        case _:
            return value


def _loaded(given: bytes | str) -> Any:
    if len(given) > LONGEST:
        raise CannotRead(f"The text is longer than {LONGEST} characters.")
    try:
        text = given if isinstance(given, str) else given.decode()
    except UnicodeDecodeError as error:
        raise CannotRead("The text is not UTF-8.") from error
    try:
        return _json(text) if text.lstrip()[:1] == "{" else _yaml(text)
    except RecursionError as error:
        raise CannotRead("It is nested too deeply.") from error


def _json(text: str) -> Any:
    """JSON, or else YAML that begins with a brace."""
    try:
        return json.loads(text, object_pairs_hook=_pairs_without_repeats)
    except CannotRead:
        raise
    except ValueError:
        return _yaml(text)


def _pairs_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise CannotRead(f"The key {name[:80]!r} is there twice in one object.")
        found[name] = value
    return found


def _yaml(text: str) -> Any:
    try:
        _refuse_what_grows(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"Line {mark.line + 1}: " if mark is not None else ""
        raise CannotRead(f"{where}{error.problem or 'no YAML'}.") from error
    except yaml.YAMLError as error:
        raise CannotRead(f"It is no YAML: {str(error)[:200]}.") from error
    except UnicodeEncodeError as error:
        raise CannotRead("It has characters that are none.") from error


def _refuse_what_grows(text: str) -> None:
    """Before anything is built: aliases, tags, depth, number."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        where = f"Line {event.start_mark.line + 1}: " if event.start_mark is not None else ""
        if isinstance(event, yaml.AliasEvent):
            raise CannotRead(f"{where}aliases are not taken; write it out.")
        if getattr(event, "tag", None) is not None:
            raise CannotRead(f"{where}tags are not taken.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise CannotRead(f"{where}it is nested too deeply.")
        if number > MOST_PARTS:
            raise CannotRead(f"It has more than {MOST_PARTS} parts.")


def _with_text_keys(value: Any, path: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise CannotRead("It is nested too deeply.", path=path)
    match value:
        case dict():
            return {
                _key(name, path): _with_text_keys(each, f"{path}.{name}", depth + 1)
                for name, each in value.items()
            }
        case list():
            return [_with_text_keys(each, f"{path}[{n}]", depth + 1) for n, each in enumerate(value)]
        case str() if _NO_TEXT.search(value):
            raise CannotRead("It has characters that cannot be kept.", path=path)
        case int() if abs(value) >= _LARGEST:
            raise CannotRead("The number is too large.", path=path, hint="Put it in quotes.")
        case float() if not math.isfinite(value):
            raise CannotRead("It is no number.", path=path)
        case _:
            return value


def _key(name: Any, path: str) -> str:
    if isinstance(name, str):
        if _NO_TEXT.search(name):
            raise CannotRead("A key has characters that cannot be kept.", path=path)
        return name
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    raise CannotRead(f"The key {str(name)[:80]!r} is no text.", path=path, hint="Put it in quotes.")


def _explained(said: str, told: Any) -> CannotRead:
    """The library names no key below a map with free keys; a person with 300 fields needs it."""
    found = _AT.search(said)
    message = said if found is None else said[: found.start()]
    path = "$" if found is None else found[2]
    if found is not None and found[1]:
        path += "[...]"
    while "[...]" in path:
        head, _, tail = path.partition("[...]")
        key = _wrong_key(told, head, said)
        if key is None:
            break
        path = f"{head}.{key}{tail}"
    return CannotRead(f"{message}.", path=path, hint=_hint(message, path))


def _wrong_key(told: Any, path: str, said: str) -> str | None:
    """The first key of the object at `path` for which the same is said: by halving, a text may have many."""
    at: Any = told
    steps = [name or int(index) for name, index in _PARTS.findall(path)]
    for step in steps:
        at = at[step]
    names = list(at)
    while len(names) > 1:
        half = names[: len(names) // 2]
        is_first = _error(_replaced(told, steps, {name: at[name] for name in half})) == said
        names = half if is_first else names[len(names) // 2 :]
    return names[0] if names else None


def _replaced(told: Any, steps: list[Any], value: Any) -> Any:
    if not steps:
        return value
    changed = told.copy()
    changed[steps[0]] = _replaced(told[steps[0]], steps[1:], value)
    return changed


def _error(told: Any) -> str | None:
    try:
        msgspec.convert(told, Mapping)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _hint(message: str, path: str) -> str | None:
    if "got `bool`" in message or "got `float`" in message:
        return "If a text is meant, put it in quotes."
    parent, _, member = path.rpartition(".")
    unknown = re.search(r"unknown field `([^`]*)`", message)
    struct = _struct_at(path if unknown else parent)
    if struct is None:
        return "docs/REDCAP.md lists what there is." if unknown else None
    names = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))
    if unknown is not None:
        near = get_close_matches(unknown[1], names, 1)
        return f"Did you mean {near[0]}?" if near else f"There is: {', '.join(names)}."
    if "enum value" in message and member in names:
        return f"There is: {', '.join(_literals(get_type_hints(struct)[names[member]]))}."
    return None


def _struct_at(path: str) -> type[msgspec.Struct] | None:
    return next((struct for pattern, struct in _STRUCTS if pattern.fullmatch(path)), None)


def _literals(hint: Any) -> list[str]:
    return [
        text
        for each in get_args(hint)
        if each is not type(None)
        for text in ([str(each)] if isinstance(each, str | int) else _literals(each))
    ]

"""A mapping as a person writes it, in YAML or JSON, and as it is kept. Pure.

| what is written | what follows |
|---|---|
| no YAML (JSON is YAML too), more than one document | CannotRead, with the line |
| a key twice in one mapping: the first would be lost | CannotRead, with the line |
| an alias (`*a`): a short text may stand for gigabytes | CannotRead |
| nested deeper than any mapping is | CannotRead |
| numbers as keys, as in `map: {1: es}` | taken as text |
| `no`, `yes`, `on`, a date, where a text is expected | CannotRead, with the path and a hint to quote it |
| a member that is not known, or missing | CannotRead, with the path |
"""

from collections.abc import Mapping as MappingOf
from typing import Any, Final

import msgspec
import yaml

from reporting.redcap.mapping import Mapping

DEEPEST: Final = 20
LONGEST: Final = 1_000_000


class CannotRead(ValueError):
    """The text is no mapping; `path` in it, and a `hint` where there is one."""

    def __init__(self, message: str, *, path: str = "$", hint: str | None = None) -> None:
        self.path = path
        self.message = message
        self.hint = hint
        super().__init__(message)


class _Loader(yaml.CSafeLoader):
    """Refuses what would be taken for something else than was meant."""


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(getattr(key, "value", ""))
        if name in seen:
            line = key.start_mark.line + 1
            raise CannotRead(f"Line {line}: the key {name[:80]!r} is there twice.")
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def read_mapping(given: str | MappingOf[str, Any]) -> Mapping:
    """The mapping; `given` is a text, or JSON that was decoded already. Raises CannotRead."""
    plain = _loaded(given) if isinstance(given, str) else given
    told = _with_text_keys(plain, "$", 0)
    try:
        return msgspec.convert(told, Mapping)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        raise CannotRead(f"{message}.", path=path.rstrip("`") or "$", hint=_hint(message)) from error


def kept(mapping: Mapping) -> Any:
    """JSON value, with what is as by default left out where the struct allows it."""
    return msgspec.to_builtins(mapping)


def as_yaml(mapping: Mapping) -> str:
    """The mapping for a person to edit."""
    text: str = yaml.safe_dump(kept(mapping), sort_keys=False, allow_unicode=True, width=100)
    return text


def _loaded(text: str) -> Any:
    if len(text) > LONGEST:
        raise CannotRead(f"The text is longer than {LONGEST} characters.")
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise CannotRead(f"Line {line}: aliases are not taken; write it out.")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"Line {mark.line + 1}: " if mark is not None else ""
        raise CannotRead(f"{where}{error.problem or 'no YAML'}.") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, CannotRead):
            raise
        raise CannotRead(f"It is no YAML: {str(error)[:200]}.") from error
    except RecursionError as error:
        raise CannotRead("It is nested too deeply.") from error


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
        case _:
            return value


def _key(name: Any, path: str) -> str:
    if isinstance(name, str):
        return name
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    raise CannotRead(
        f"The key {str(name)[:80]!r} is no text.",
        path=path,
        hint="YAML reads yes, no, on, off and dates as something else: put it in quotes.",
    )


def _hint(message: str) -> str | None:
    if "got `bool`" in message or "got `date" in message:
        return "YAML reads yes, no, on, off and dates as something else: put it in quotes."
    if "unknown field" in message:
        return "docs/REDCAP.md lists what there is."
    return None

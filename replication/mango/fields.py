"""Field names: `a.b` is the member b of a, `a\\.b` is one name, and a number is a place in an array."""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

from replication.mango.collation import Path
from replication.mango.refusal import QueryRefused, shown

_UNESCAPED_DOT = re.compile(r"(?<!\\)\.")


class Absent(Enum):
    """Why there is no value at a path. `$exists: false` holds for the first only, as in CouchDB."""

    NOT_FOUND = "the last object on the way has no such member"
    BAD_PATH = "the path leads through a value that has no members"


def parse_field(name: str) -> Path:
    """`a.b\\.c` → ("a", "b.c"). Raises QueryRefused for an empty part."""
    parts = _UNESCAPED_DOT.split(name)
    if "" in parts:
        raise QueryRefused("invalid_field_name", f"Invalid field name: {name[:80]}")
    return tuple(part.replace("\\", "") for part in parts)


def join_field(path: Path) -> str:
    """The inverse of `parse_field`; an escaped dollar sign is no operator."""
    name = ".".join(part.replace(".", "\\.") for part in path)
    return "\\" + name if name.startswith("$") else name


def lookup(value: Any, path: Path) -> Any:
    """The value at the path, or an `Absent`."""
    for name in path:
        if isinstance(value, dict):
            if name not in value:
                return Absent.NOT_FOUND
            value = value[name]
        elif isinstance(value, list):
            if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(value)):
                return Absent.BAD_PATH
            value = value[int(name)]
        else:
            return Absent.BAD_PATH
    return value


def extract(document: dict[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """The document cut down to the values at the paths."""
    found: dict[str, Any] = {}
    for path in paths:
        value = lookup(document, path)
        if not isinstance(value, Absent):
            _put(found, path, value)
    return found


def _put(target: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        inner = target.get(name, {})
        if not isinstance(inner, dict):
            return  # a shorter path brought the whole array
        # A copy: what is there may be a part of the document itself.
        target[name] = target = dict(inner)
    target[path[-1]] = value


def parse_fields(value: Any) -> tuple[str, ...]:
    """The `fields` of a query; none: whole documents. Raises QueryRefused."""
    if not isinstance(value, list):
        raise QueryRefused("invalid_fields", f"Fields must be an array of strings, not: {shown(value)}")
    for name in value:
        if not isinstance(name, str):
            raise QueryRefused("invalid_field", f"Invalid JSON for field spec: {shown(name)}")
    return tuple(value)

"""The options of `_find` and `_explain`, and the bookmark that lets a query go on where it ended."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from replication.mango.collation import Path
from replication.mango.definition import DESIGN, parse_sort
from replication.mango.fields import parse_field, parse_fields
from replication.mango.refusal import QueryRefused, shown
from replication.mango.selector import Node, parse_selector

DEFAULT_LIMIT = 25
NO_BOOKMARK = "nil"
"""What CouchDB answers when there is nothing to go on after."""
_LARGEST = 10**15


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where in an index a query is: the key and the id of the last row."""

    key: bytes
    id: str


class Query(msgspec.Struct, frozen=True):
    """A query. `use_index` holds nothing, a design document's name, or that and an index's name."""

    selector: Node
    use_index: tuple[str, ...] = ()
    bookmark: str = NO_BOOKMARK
    after: Place | None = None
    limit: int = DEFAULT_LIMIT
    skip: int = 0
    sort: tuple[tuple[str, str], ...] = ()
    fields: tuple[str, ...] = ()
    r: int = 1
    conflicts: bool = False
    stale: bool = False
    update: bool = True
    stable: bool = False
    execution_stats: bool = False
    allow_fallback: bool = True

    @property
    def descending(self) -> bool:
        """Whether the index is read backwards."""
        return bool(self.sort) and self.sort[0][1] == "desc"

    @property
    def sort_paths(self) -> tuple[Path, ...]:
        """The paths of the sort's fields."""
        return tuple(parse_field(name) for name, _ in self.sort)

    @property
    def may_update(self) -> bool:
        """Whether the index is brought up to date first."""
        return self.update and not self.stale


def parse_query(body: Any) -> Query:
    """The body of `_find`. Raises QueryRefused."""
    if not isinstance(body, dict):
        raise QueryRefused("bad_request", "Request body must be a JSON object")
    if "selector" not in body:
        raise QueryRefused("missing_required_key", "Missing required key: selector")
    unknown = body.keys() - _OPTIONS.keys()
    if unknown:
        raise QueryRefused("invalid_key", f"Invalid key {min(unknown)[:80]} for this request.")
    options = {name: _OPTIONS[name](value) for name, value in body.items()}
    options.pop("partition", None)
    query = Query(**options)
    after = None if query.bookmark == NO_BOOKMARK else decode_bookmark(query.bookmark)
    # Raises for a name that cannot be one.
    _ = (query.sort_paths, [parse_field(name) for name in query.fields])
    return msgspec.structs.replace(query, after=after)


def encode_bookmark(place: Place) -> str:
    """Opaque to clients."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def decode_bookmark(text: str) -> Place:
    """The inverse of `encode_bookmark`. Raises QueryRefused."""
    try:
        return msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=Place)
    except (binascii.Error, ValueError) as error:
        raise QueryRefused("invalid_bookmark", f"Invalid bookmark value: {shown(text)}") from error


def parse_use_index(value: Any) -> tuple[str, ...]:
    """`"ddoc"`, `"ddoc/name"`, `["ddoc"]` or `["ddoc", "name"]`. Raises QueryRefused."""
    if value is None:
        return ()
    parts = value
    if isinstance(value, str):
        parts = value.removeprefix(DESIGN).split("/")
    if not isinstance(parts, list) or len(parts) > 2 or not all(isinstance(part, str) for part in parts):
        raise QueryRefused("invalid_index_name", f"Invalid index name: {shown(value)}")
    return (parts[0].removeprefix(DESIGN), *parts[1:]) if parts else ()


def _bookmark(value: Any) -> str:
    if value is None or value == "":
        return NO_BOOKMARK
    if not isinstance(value, str):
        raise QueryRefused("invalid_bookmark", f"Invalid bookmark value: {shown(value)}")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise QueryRefused("invalid_boolean", f"Invalid boolean value: {shown(value)}")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        reason = f"{shown(value)} is not an integer greater than or equal to zero"
        raise QueryRefused("invalid_non_neg_integer", reason)
    return min(value, _LARGEST)


def _positive(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise QueryRefused("invalid_pos_integer", f"{shown(value)} is not an integer greater than zero")
    return min(value, _LARGEST)


def _stale(value: Any) -> bool:
    if value is not False and value not in ("ok", "false"):
        raise QueryRefused("invalid_ok_or_false_value", f"Neither ok nor false: {shown(value)}")
    return bool(value == "ok")


def _partition(value: Any) -> None:
    if value != "":
        raise QueryRefused("bad_request", "`partition` is not supported on this database")


_OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "selector": parse_selector,
    "use_index": parse_use_index,
    "bookmark": _bookmark,
    "limit": _count,
    "skip": _count,
    "sort": parse_sort,
    "fields": parse_fields,
    "partition": _partition,
    "r": _positive,
    "conflicts": _boolean,
    "stale": _stale,
    "update": _boolean,
    "stable": _boolean,
    "execution_stats": _boolean,
    "allow_fallback": _boolean,
}

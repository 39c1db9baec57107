"""Index definitions, and the design documents (`language` "query") that carry them from replica to replica.

    POST _index {"index": {"fields": ["type", "start"]}, "ddoc": "visits", "name": "by-start"}
      → _design/visits with the view "by-start", whose `map` is {"fields": {"type": "asc", "start": "asc"}}

The document is the definition: whoever replicates or deletes it replicates or deletes the index. A view of
such a document that is no index definition is left alone, as CouchDB leaves it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from replication.mango import text_order
from replication.mango.collation import ID_PATH, Path
from replication.mango.fields import parse_field
from replication.mango.matching import selector_json
from replication.mango.refusal import QueryRefused, shown
from replication.mango.selector import EVERYTHING, Node, parse_selector

DESIGN = "_design/"


class Index(msgspec.Struct, frozen=True):
    """One index: its columns in order with their directions, and which documents it holds.

    `ddoc` is None for `_all_docs`, which every database has.
    """

    ddoc: str | None
    name: str
    fields: tuple[tuple[str, str], ...]
    paths: tuple[Path, ...]
    partial_filter: Node = EVERYTHING

    @property
    def is_partial(self) -> bool:
        """Whether it lacks documents that have all columns: then only a query that names it may use it."""
        return self.partial_filter != EVERYTHING

    @property
    def signature(self) -> str:
        """Equal for definitions whose contents are equal: 40 hex digits."""
        content = [text_order.VERSION, self.paths, selector_json(self.partial_filter)]
        return hashlib.sha1(msgspec.json.encode(content), usedforsecurity=False).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As `_index` lists it."""
        definition: dict[str, Any] = {"fields": [{name: direction} for name, direction in self.fields]}
        if self.ddoc is None:
            return {"ddoc": None, "name": self.name, "type": "special", "def": definition}
        if self.is_partial:
            definition["partial_filter_selector"] = selector_json(self.partial_filter)
        return {
            "ddoc": self.ddoc,
            "name": self.name,
            "type": "json",
            "partitioned": False,
            "def": definition,
        }


ALL_DOCS = Index(None, "_all_docs", (("_id", "asc"),), (ID_PATH,))


class NewIndex(msgspec.Struct, frozen=True):
    """What `POST _index` asks for; `view` is what its design document gets under the index's name."""

    index: Index
    ddoc: str
    view: dict[str, Any]


def parse_sort(value: Any) -> tuple[tuple[str, str], ...]:
    """`["a", {"b": "asc"}]` → fields with their directions, all the same. Raises QueryRefused."""
    if not isinstance(value, list):
        raise QueryRefused("invalid_sort_json", f"Sort must be an array of sort specs, not: {shown(value)}")
    fields = tuple(_sort_field(field) for field in value)
    if len({direction for _, direction in fields}) > 1:
        raise QueryRefused(
            "unsupported_mixed_sort", "Sorts currently only support a single direction for all fields."
        )
    return fields


def _sort_field(field: Any) -> tuple[str, str]:
    if isinstance(field, str) and field:
        return field, "asc"
    if isinstance(field, dict) and len(field) == 1:
        ((name, direction),) = field.items()
        if direction in ("asc", "desc"):
            return name, direction
    raise QueryRefused("invalid_sort_field", f"Invalid sort field: {shown(field)}")


def parse_new_index(body: Any) -> NewIndex:
    """The body of `POST _index`. Raises QueryRefused."""
    if not isinstance(body, dict):
        raise QueryRefused("bad_request", "Request body must be a JSON object")
    unknown = body.keys() - {"index", "type", "name", "ddoc", "w", "partitioned"}
    if unknown:
        raise QueryRefused("invalid_key", f"Invalid key {min(unknown)[:80]} for this request.")
    if "index" not in body:
        raise QueryRefused("missing_required_key", "Missing required key: index")
    _check_kind(body)
    definition = body["index"]
    if not isinstance(definition, dict):
        raise QueryRefused("invalid_index", f"JSON indexes must be an object, not: {shown(definition)}")
    unknown = definition.keys() - {"fields", "partial_filter_selector"}
    if unknown:
        raise QueryRefused("invalid_key", f"Invalid key {min(unknown)[:80]} for this request.")
    if "fields" not in definition:
        raise QueryRefused("missing_required_key", "Missing required key: fields")
    fields = tuple(dict(parse_sort(definition["fields"])).items())
    if not fields:
        raise QueryRefused("invalid_index", "An index needs at least one field.")
    partial = parse_selector(definition.get("partial_filter_selector", {}))
    map_ = {"fields": dict(fields), "partial_filter_selector": selector_json(partial)}
    view = {"map": map_, "reduce": "_count", "options": {"def": definition}}
    unnamed = hashlib.sha1(msgspec.json.encode(map_), usedforsecurity=False).hexdigest()
    name = _name(body, "name") or unnamed
    ddoc = DESIGN + (_name(body, "ddoc") or unnamed).removeprefix(DESIGN)
    index = Index(ddoc, name, fields, tuple(parse_field(field) for field, _ in fields), partial)
    return NewIndex(index, ddoc, view)


def _check_kind(body: Mapping[str, Any]) -> None:
    kind = body.get("type", "json")
    if not isinstance(kind, str):
        raise QueryRefused("invalid_string", f"Invalid string: {shown(kind)}")
    if kind != "json":
        raise QueryRefused("invalid_index", f"Invalid type for index: {kind[:80]}")
    if body.get("partitioned", False) is not False:
        raise QueryRefused("invalid_partitioned_option", "databases here are not partitioned")


def _name(body: Mapping[str, Any], member: str) -> str | None:
    name = body.get(member)
    if name == "":
        raise QueryRefused("invalid_empty_string", "Index name or ddoc cannot be empty string")
    if name is not None and not isinstance(name, str):
        raise QueryRefused("invalid_string", f"Invalid string: {shown(name)}")
    return name


def indexes_of(ddoc: str, document: Any) -> list[Index]:
    """The indexes that a design document defines."""
    if not isinstance(document, dict) or document.get("language") != "query":
        return []
    views = document.get("views")
    found = [_index(ddoc, name, view) for name, view in views.items()] if isinstance(views, dict) else []
    return [index for index in found if index is not None]


def _index(ddoc: str, name: str, view: Any) -> Index | None:
    map_ = view.get("map") if isinstance(view, dict) else None
    fields = map_.get("fields") if isinstance(map_, dict) else None
    if not isinstance(map_, dict) or not isinstance(fields, dict) or not fields:
        return None
    try:
        columns = parse_sort([{field: direction} for field, direction in fields.items()])
        paths = tuple(parse_field(field) for field in fields)
        partial = parse_selector(map_.get("partial_filter_selector", {}))
    except QueryRefused:
        return None  # written by a client that is no Mango; the document itself stays as it is
    return Index(ddoc, name, columns, paths, partial)

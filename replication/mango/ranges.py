"""Which part of an index a selector needs: conditions that must hold, as ranges of keys.

    index (type, started_at), {"type": "session", "started_at": {"$gte": "2026"}}
      → from key("session") key("2026") up to key("session") AFTER

Only conditions joined by `$and` bound a range. A range may hold too much, never too little: every document
found in it is still held against the whole selector.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from replication.mango.collation import AFTER, ID_PATH, Path, beginning_key
from replication.mango.selector import All, AnyOf, At, Check, Compare, Node

_BOUNDING = {"$lt", "$lte", "$eq", "$gt", "$gte"}


class KeyRange(msgspec.Struct, frozen=True):
    """Keys from `low` on and below `high`."""

    low: bytes = b""
    high: bytes = AFTER

    @property
    def empty(self) -> bool:
        """Whether no key lies within."""
        return self.low >= self.high

    @property
    def only(self) -> bytes | None:
        """The one key that the range is about, when it asks for equality."""
        return self.low if self.high == self.low + AFTER and self.low else None

    def within(self, other: "KeyRange") -> "KeyRange":
        """The keys that lie in both."""
        return KeyRange(max(self.low, other.low), min(self.high, other.high))


def required(node: Node) -> Iterator[Node]:
    """The conditions that all have to hold."""
    if isinstance(node, All):
        for part in node.parts:
            yield from required(part)
    else:
        yield node


def column_ranges(node: Node) -> dict[Path, KeyRange]:
    """For each path that the selector bounds, or wants to exist, the range of its keys."""
    found: dict[Path, KeyRange] = {}
    for part in required(node):
        if isinstance(part, At) and not part.negated:
            bounds = _bounds(part)
            if bounds is not None:
                found[part.path] = found.get(part.path, KeyRange()).within(bounds)
    return found


def _bounds(condition: At) -> KeyRange | None:
    test = condition.test
    if isinstance(test, Compare) and test.op in _BOUNDING:
        key = test.key
        return {
            "$lt": KeyRange(high=key),
            "$lte": KeyRange(high=key + AFTER),
            "$eq": KeyRange(key, key + AFTER),
            "$gt": KeyRange(low=key + AFTER),
            "$gte": KeyRange(low=key),
        }[test.op]
    if isinstance(test, Check) and test.op == "$beginsWith":
        beginning = beginning_key(condition.path, test.arg)
        # Twice: a beginning is no whole key, so this must not be taken for an equality.
        return KeyRange(beginning, beginning + AFTER + AFTER)
    if isinstance(test, Check) and test.op == "$exists":
        return KeyRange()
    return None


def prefix_length(paths: Sequence[Path], ranges: Mapping[Path, KeyRange]) -> int:
    """How many leading columns have a range."""
    return next((place for place, path in enumerate(paths) if path not in ranges), len(paths))


def index_range(paths: Sequence[Path], ranges: Mapping[Path, KeyRange]) -> KeyRange:
    """The range of an index's keys: equalities of leading columns, then the range of the next one."""
    prefix = b""
    for path in paths:
        column = ranges.get(path, KeyRange())
        if column.only is None:
            return KeyRange(prefix + column.low, prefix + column.high)
        prefix += column.only
    return KeyRange(prefix, prefix + AFTER)


def requires(node: Node, paths: frozenset[Path]) -> bool:
    """Whether only documents that have a value at each of the paths can meet the selector."""
    return not _not_required(node, paths)


def _not_required(node: Node, paths: frozenset[Path]) -> frozenset[Path]:
    match node:
        case All(parts):
            for part in parts:
                paths = _not_required(part, paths)
            return paths
        case AnyOf(parts) if parts:
            return frozenset().union(*(_not_required(part, paths) for part in parts))
        case At(path, Check("$exists", False)):
            return paths
        case At(path, _):
            return paths - {path}
        case _:
            return paths


def is_constant(node: Node, path: Path) -> bool:
    """Whether all documents that meet the selector have the same value at the path."""
    return any(
        isinstance(part, At)
        and part.path == path
        and not part.negated
        and isinstance(part.test, Compare)
        and part.test.op == "$eq"
        for part in required(node)
    )


class IdBounds(msgspec.Struct, frozen=True):
    """Ids from `low` on (`after`: beyond it), up to `high` (`before`: without it); bytewise. None: no end."""

    low: str | None = None
    high: str | None = None
    after: bool = False
    before: bool = False


def id_bounds(node: Node) -> IdBounds:
    """The ids that can meet the selector, for a scan by id. Its `column_ranges` are not empty."""
    found = IdBounds()
    for part in required(node):
        if isinstance(part, At) and part.path == ID_PATH and not part.negated:
            found = _narrowed(found, part)
    return found


def _narrowed(ids: IdBounds, condition: At) -> IdBounds:
    test = condition.test
    if isinstance(test, Check):
        if test.op != "$beginsWith":
            return ids
        beyond = _successor(test.arg)
        ids = _raised(ids, test.arg, after=False)
        return ids if beyond is None else _lowered(ids, beyond, before=True)
    if not isinstance(test, Compare) or not isinstance(test.arg, str):
        return ids
    if test.op in ("$gt", "$gte", "$eq"):
        ids = _raised(ids, test.arg, after=test.op == "$gt")
    if test.op in ("$lt", "$lte", "$eq"):
        ids = _lowered(ids, test.arg, before=test.op == "$lt")
    return ids


def _raised(ids: IdBounds, low: str, *, after: bool) -> IdBounds:
    # Python compares strings by code point, which is the order of their bytes in UTF-8.
    if ids.low is None or low > ids.low or (low == ids.low and after):
        return msgspec.structs.replace(ids, low=low, after=after)
    return ids


def _lowered(ids: IdBounds, high: str, *, before: bool) -> IdBounds:
    if ids.high is None or high < ids.high or (high == ids.high and before):
        return msgspec.structs.replace(ids, high=high, before=before)
    return ids


def _successor(prefix: str) -> str | None:
    """The least string above everything that begins with the prefix; None when there is none."""
    if not prefix or prefix[-1] == "\U0010ffff":
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if following == 0xD800 else following)

"""A selector as a tree of conditions: implicit operators made explicit, negations pushed down to the tests.

    {"type": "session", "tasks": {"$elemMatch": {"task": "simon"}}, "$not": {"age": {"$lt": 18}}}
      → all of:  type $eq "session" · tasks $elemMatch (task $eq "simon") · age $gte 18

A condition on a member that is not there is false, and so is its negation: `$not` turns the test round and
leaves the member required. Within `$elemMatch`, `$allMatch` and `$keyMapMatch` a negation is a plain one.
Both are CouchDB's, and an index relies on the first: a document that lacks an indexed member is not in the
index.

    what arrives                                        answer
    ------------------------------------------------    ---------------------------------
    no object                                           invalid_selector_json
    an operator without a member to test                invalid_selector
    an operator that is unknown, or not for Mango       invalid_operator, not_supported
    an argument of the wrong kind, a bad pattern        bad_arg
    deeper than MAX_DEPTH, more than MAX_CONDITIONS     invalid_selector
"""

from collections.abc import Callable
from typing import Any

import msgspec

from replication.mango.collation import Path, column_key
from replication.mango.fields import parse_field
from replication.mango.refusal import QueryRefused, shown
from replication.mango.regex import searcher

MAX_DEPTH = 100
MAX_CONDITIONS = 10_000
"""Every document of a scan is held against every condition, and each level costs a frame of the stack."""


class All(msgspec.Struct, frozen=True):
    """Holds when every part does."""

    parts: tuple["Node", ...]


class AnyOf(msgspec.Struct, frozen=True):
    """Holds when some part does; as in CouchDB also when there is none."""

    parts: tuple["Node", ...]


class Not(msgspec.Struct, frozen=True):
    """The plain negation, whether or not the member is there."""

    part: "Node"


class At(msgspec.Struct, frozen=True):
    """Holds when there is a value at `path` and the test holds for it; `negated`: does not hold."""

    path: Path
    test: "Test"
    negated: bool = False


class Compare(msgspec.Struct, frozen=True):
    """`$eq $ne $lt $lte $gt $gte`, in collation order."""

    op: str
    arg: Any
    key: bytes


class In(msgspec.Struct, frozen=True):
    """`$in` and `$nin`."""

    op: str
    arg: list[Any]
    keys: frozenset[bytes]


class Has(msgspec.Struct, frozen=True):
    """`$all`: every argument is an element; or the one argument is the array itself."""

    arg: list[Any]
    keys: frozenset[bytes]


class Inner(msgspec.Struct, frozen=True):
    """`$elemMatch`, `$allMatch` on elements, `$keyMapMatch` on the names of members."""

    op: str
    node: "Node"


class Check(msgspec.Struct, frozen=True):
    """`$exists $type $size $mod $beginsWith $regex`; `search` is the compiled pattern."""

    op: str
    arg: Any
    search: Callable[[str], bool] | None = None


Test = Compare | In | Has | Inner | Check
Node = All | AnyOf | Not | At

EVERYTHING = All(())

_OPPOSITE = {
    "$lt": "$gte",
    "$gte": "$lt",
    "$lte": "$gt",
    "$gt": "$lte",
    "$eq": "$ne",
    "$ne": "$eq",
    "$in": "$nin",
    "$nin": "$in",
}
_COMPARISONS = {"$eq", "$ne", "$lt", "$lte", "$gt", "$gte"}
_INNER = {"$elemMatch", "$allMatch", "$keyMapMatch"}
_NOT_SERVED = {"$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere", "$text", "$default"}


def parse_selector(value: Any) -> Node:
    """A decoded JSON selector as conditions. Raises QueryRefused."""
    if not isinstance(value, dict):
        raise QueryRefused("invalid_selector_json", f"Selector must be a JSON object, not: {shown(value)}")
    if not value:
        return EVERYTHING
    node = _Parser().node(value, (), negated=False, plain=False, depth=0)
    if isinstance(node, At) and not node.path:
        raise QueryRefused("invalid_selector", "One or more conditions is missing a field name.")
    return node


class _Parser:
    """One selector's parse, which counts its conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def node(self, value: Any, path: Path, *, negated: bool, plain: bool, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise QueryRefused("invalid_selector", f"The selector is nested deeper than {MAX_DEPTH} levels.")
        if not isinstance(value, dict) or not value:
            return self._at(path, "$eq", value, negated=negated, depth=depth)
        parts = tuple(
            self._member(name, arg, path, negated=negated, plain=plain, depth=depth)
            for name, arg in value.items()
        )
        if len(parts) == 1:
            return parts[0]
        return AnyOf(parts) if negated else All(parts)

    def _member(self, name: str, arg: Any, path: Path, *, negated: bool, plain: bool, depth: int) -> Node:
        if not name.startswith("$"):
            inner = path + parse_field(name)
            return self.node(arg, inner, negated=negated, plain=plain, depth=depth + 1)
        if name in ("$and", "$or", "$nor"):
            return self._combined(name, arg, path, negated=negated, plain=plain, depth=depth)
        if name == "$not":
            if not isinstance(arg, dict):
                raise _bad_argument(name, arg)
            if plain:
                return Not(self.node(arg, path, negated=False, plain=True, depth=depth + 1))
            return self.node(arg, path, negated=not negated, plain=False, depth=depth + 1)
        return self._at(path, name, arg, negated=negated, depth=depth)

    def _combined(self, name: str, arg: Any, path: Path, *, negated: bool, plain: bool, depth: int) -> Node:
        if not isinstance(arg, list):
            raise _bad_argument(name, arg)
        turned = negated if plain or name != "$nor" else not negated
        parts = tuple(self.node(part, path, negated=turned, plain=plain, depth=depth + 1) for part in arg)
        if plain and name == "$nor":
            return All(tuple(Not(part) for part in parts))
        # By de Morgan: not (a and b) is (not a) or (not b).
        return All(parts) if (name == "$and") != turned else AnyOf(parts)

    def _at(self, path: Path, op: str, arg: Any, *, negated: bool, depth: int) -> Node:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise QueryRefused("invalid_selector", f"The selector has more than {MAX_CONDITIONS} conditions.")
        test = self._test(path, op, arg, depth)
        if not negated:
            return At(path, test)
        if isinstance(test, Check) and test.op == "$exists":
            return At(path, Check("$exists", not test.arg))
        if isinstance(test, (Compare, In)):
            return At(path, msgspec.structs.replace(test, op=_OPPOSITE[test.op]))
        return At(path, test, negated=True)

    def _test(self, path: Path, op: str, arg: Any, depth: int) -> Test:
        if op in _COMPARISONS:
            return Compare(op, arg, column_key(path, arg))
        if op in ("$in", "$nin", "$all"):
            if not isinstance(arg, list):
                raise _bad_argument(op, arg)
            keys = frozenset(column_key(path, element) for element in arg)
            return Has(arg, keys) if op == "$all" else In(op, arg, keys)
        if op in _INNER:
            if not isinstance(arg, dict):
                raise _bad_argument(op, arg)
            return Inner(op, self.node(arg, (), negated=False, plain=True, depth=depth + 1))
        return _check(op, arg)


def _check(op: str, arg: Any) -> Check:
    fits: bool
    match op:
        case "$exists":
            fits = isinstance(arg, bool)
        case "$type" | "$beginsWith" | "$regex":
            fits = isinstance(arg, str)
        case "$size":
            fits = _is_integer(arg) and arg >= 0
        case "$mod":
            # By zero CouchDB fails at the first number it meets.
            fits = isinstance(arg, list) and len(arg) == 2 and all(map(_is_integer, arg)) and arg[0] != 0
        case _ if op in _NOT_SERVED:
            raise QueryRefused("not_supported", f"Unsupported operator: {op}")
        case _:
            raise QueryRefused("invalid_operator", f"Invalid operator: {op[:80]}")
    if not fits:
        raise _bad_argument(op, arg)
    return Check(op, arg, searcher(arg) if op == "$regex" else None)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bad_argument(op: str, arg: Any) -> QueryRefused:
    return QueryRefused("bad_arg", f"Bad argument for operator {op}: {shown(arg)}")

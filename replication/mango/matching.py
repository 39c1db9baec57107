"""Whether a document meets a selector, and the selector as CouchDB shows it once it is normalised."""

from typing import Any

from replication.mango.collation import Path, column_key, key
from replication.mango.fields import Absent, join_field, lookup
from replication.mango.selector import (
    EVERYTHING,
    All,
    AnyOf,
    At,
    Check,
    Compare,
    Has,
    In,
    Inner,
    Node,
    Not,
    Test,
)


def matches(node: Node, value: Any) -> bool:
    """Whether the value (a whole document, or within `$elemMatch` an element) meets the conditions."""
    match node:
        case All(parts):
            return all(matches(part, value) for part in parts)
        case AnyOf(parts):
            return not parts or any(matches(part, value) for part in parts)
        case Not(part):
            return not matches(part, value)
        case At(path, test, negated):
            found = lookup(value, path)
            if isinstance(found, Absent):
                forbids = isinstance(test, Check) and test.op == "$exists" and not test.arg
                return forbids and found is Absent.NOT_FOUND
            return _holds(test, path, found) != negated


def _holds(test: Test, path: Path, value: Any) -> bool:
    match test:
        case Compare(op, _, bound):
            return _compares(op, column_key(path, value), bound)
        case In(op, _, keys):
            elements = value if isinstance(value, list) else [value]
            found = any(column_key(path, element) in keys for element in elements)
            return found == (op == "$in")
        case Has(arg, keys):
            return isinstance(value, list) and _has(value, arg, keys)
        case Inner(op, node):
            return _inner(op, node, value)
        case Check():
            return _checks(test, value)


def _compares(op: str, found: bytes, bound: bytes) -> bool:
    match op:
        case "$eq":
            return found == bound
        case "$ne":
            return found != bound
        case "$lt":
            return found < bound
        case "$lte":
            return found <= bound
        case "$gt":
            return found > bound
        case _:
            return found >= bound


def _has(value: list[Any], arg: list[Any], keys: frozenset[bytes]) -> bool:
    if not arg:
        return False
    itself = len(arg) == 1 and isinstance(arg[0], list) and key(value) in keys
    return itself or keys <= {key(element) for element in value}


def _inner(op: str, node: Node, value: Any) -> bool:
    if op == "$keyMapMatch":
        return isinstance(value, dict) and any(matches(node, name) for name in value)
    if not isinstance(value, list):
        return False
    if op == "$elemMatch":
        return any(matches(node, element) for element in value)
    return bool(value) and all(matches(node, element) for element in value)


def _checks(test: Check, value: Any) -> bool:
    arg = test.arg
    match test.op:
        case "$exists":
            return bool(arg)
        case "$type":
            return bool(_type(value) == arg)
        case "$size":
            return isinstance(value, list) and len(value) == arg
        case "$beginsWith":
            return isinstance(value, str) and value.startswith(arg)
        case "$regex":
            return isinstance(value, str) and test.search is not None and test.search(value)
        case _:
            return (
                isinstance(value, int) and not isinstance(value, bool) and _remainder(value, arg[0]) == arg[1]
            )


def _remainder(value: int, divisor: int) -> int:
    """With the sign of `value`, as Erlang's."""
    rest = abs(value) % abs(divisor)
    return -rest if value < 0 else rest


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {type(None): "null", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def selector_json(node: Node) -> dict[str, Any]:
    """The conditions as JSON, every operator spelled out; parsed again they are the same conditions."""
    return {} if node == EVERYTHING else _node_json(node)


def _node_json(node: Node) -> dict[str, Any]:
    match node:
        case All(parts):
            return {"$and": [_node_json(part) for part in parts]}
        case AnyOf(parts):
            return {"$or": [_node_json(part) for part in parts]}
        case Not(part):
            return {"$not": _node_json(part)}
        case At(path, test, negated):
            shown = {"$not": _test_json(test)} if negated else _test_json(test)
            return {join_field(path): shown} if path else shown


def _test_json(test: Test) -> dict[str, Any]:
    match test:
        case Inner(op, node):
            return {op: _node_json(node)}
        case Has(arg, _):
            return {"$all": arg}
        case Compare(op, arg, _) | In(op, arg, _) | Check(op, arg, _):
            return {op: arg}

"""JSON that people write and tablets read: how deep, how large, which numbers.

A schema or a task's parameters are free JSON. They pass through JavaScript, where an integer beyond 2^53 is
silently another one, and through code that recurses.

| value | refused |
|---|---|
| nested deeper than 16 | with the path |
| an integer beyond ±(2^53 - 1) | with the path |
| text longer than the limit when written as JSON | as a whole |
"""

from collections.abc import Iterator
from typing import Any

import msgspec

DEEPEST = 16
LARGEST_INTEGER = 2**53 - 1

_encode = msgspec.json.Encoder(order="deterministic").encode


class UnusableJson(ValueError):
    """A value that tablets cannot be given; `path` as in `$.params.span`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def check_json(value: Any, path: str, *, max_bytes: int) -> None:
    """Raises UnusableJson."""
    for at, each, depth in _walk(value, path, 0):
        if depth > DEEPEST:
            raise UnusableJson(at, f"nested deeper than {DEEPEST}")
        if isinstance(each, int) and not isinstance(each, bool) and abs(each) > LARGEST_INTEGER:
            raise UnusableJson(at, "an integer beyond ±(2^53 - 1), which tablets cannot hold")
    size = len(_encode(value))
    if size > max_bytes:
        raise UnusableJson(path, f"{size} bytes as JSON; at most {max_bytes}")


def canonical(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of its members."""
    return _encode(value)


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    yield path, value, depth
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _walk(each, f"{path}.{name}", depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _walk(each, f"{path}[{index}]", depth + 1)

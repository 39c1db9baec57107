"""Which rows go into which request. Pure.

A request has at most 100 rows and 1 MB of JSON, and one row a record: REDCap's refusals name a record, never
an instance, so that a line then names one row. A row that is larger alone goes alone; REDCap says.
Rows of one record keep their order.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final, TypeVar

MOST_ROWS: Final = 100
MOST_BYTES: Final = 1_000_000

T = TypeVar("T")


def json_bytes(row: Mapping[str, str]) -> int:
    """What a row adds to a request's JSON, in bytes, its comma included."""
    return len(json.dumps(dict(row), separators=(",", ":"))) + 1


def batches(
    rows: Sequence[T],
    *,
    record: Callable[[T], str],
    size: Callable[[T], int],
    most_rows: int = MOST_ROWS,
    most_bytes: int = MOST_BYTES,
) -> list[list[T]]:
    """All rows, each once, in the first batch that has room after the former row of its record."""
    found: list[list[T]] = []
    sizes: list[int] = []
    earliest: dict[str, int] = {}
    first_open = 0
    for row in rows:
        name, bytes_ = record(row), size(row)
        index = max(earliest.get(name, 0), first_open)
        while index < len(found) and (
            len(found[index]) >= most_rows or sizes[index] + bytes_ > most_bytes - 2
        ):
            index += 1
        if index == len(found):
            found.append([])
            sizes.append(0)
        found[index].append(row)
        sizes[index] += bytes_
        earliest[name] = index + 1
        while first_open < len(found) and len(found[first_open]) >= most_rows:
            first_open += 1
    return found


def halves(batch: Sequence[T]) -> tuple[list[T], list[T]] | None:
    """Two requests instead of one; None where there is one row."""
    if len(batch) < 2:
        return None
    middle = (len(batch) + 1) // 2
    return list(batch[:middle]), list(batch[middle:])


def bisecting(refused: Sequence[T]) -> Generator[list[T], bool, list[T]]:
    """Finds the rows for which a request is refused: yields what to send next, is told whether that was
    refused, and returns the rows that are refused alone, in order. `refused` has been refused as a whole.
    """
    parts = halves(refused)
    if parts is None:
        return list(refused)
    culprits: list[T] = []
    for part in parts:
        if (yield part):
            culprits += yield from bisecting(part)
    return culprits

"""What a table of an export is, and which cells it may hold. Pure.

A column says what its values are; the same description becomes the codebook, Parquet's metadata and SPSS's
labels. Rows come in batches of any size, and what is written never depends on where a batch ends.

Null and NaN are two things here: null is "there is no value" (`Column.missing` says what that means), NaN is
a number that somebody computed. A format that has one word for both says so in its module.

| what comes | what follows |
|---|---|
| a row with more or fewer cells than columns | CannotHold, with the row's number |
| a cell of another type than its column, an integer of more than 64 bits | CannotHold, with row and column |
| a timestamp without a zone | CannotHold: nobody knows which instant it is |
| text with a NUL or half a surrogate pair | CannotHold: no format keeps it |
| a Decimal or an integer in a column of numbers | becomes a float |
| a timestamp of any zone | becomes UTC: the same instant is the same bytes |
"""

import enum
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

Value = str | int | float | bool | date | datetime | None
Row = Sequence[Value]
Batch = Sequence[Sequence[object]]

SMALLEST_INTEGER: Final = -(2**63)
LARGEST_INTEGER: Final = 2**63 - 1
MOST_TEXT: Final = 1 << 25
"""Characters that a group of rows may hold, whatever its number of rows: memory stays bounded by it."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class ColumnType(enum.StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


class CannotHold(ValueError):
    """The table or one of its cells cannot be written; the message says which, where and why."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """One value that a column may have, and what it means."""

    value: str | int
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `unit` is empty where there is none; `missing` says what null means."""

    name: str
    type: ColumnType
    label: str
    unit: str = ""
    allowed: tuple[Allowed, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its `name` is the stem of its files. Raises CannotHold where names are unfit or repeated."""

    name: str
    label: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        """Refuse names that some format could not hold."""
        for name in (self.name, *(column.name for column in self.columns)):
            if not _NAME.fullmatch(name):
                raise CannotHold(f"{name!r} is no name: a-z, 0-9 and _, a letter first, at most 63.")
        names = [column.name for column in self.columns]
        if not names or len(set(names)) != len(names):
            raise CannotHold(f"The table {self.name} has no columns, or two of one name.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def position(self, name: str) -> int:
        """Where the column `name` stands. Raises CannotHold where there is none."""
        if name not in self.names:
            raise CannotHold(f"The table {self.name} has no column {name}.")
        return self.names.index(name)


def checked_rows(table: Table, batches: Iterable[Batch]) -> Iterator[tuple[Value, ...]]:
    """The rows one by one, each cell as its column's type has it. Raises CannotHold."""
    number = 0
    for batch in batches:
        for row in batch:
            number += 1
            if len(row) != len(table.columns):
                raise CannotHold(f"Row {number} has {len(row)} cells, not {len(table.columns)}.")
            cells = []
            for column, cell in zip(table.columns, row, strict=True):
                try:
                    cells.append(None if cell is None else _checked(column.type, cell))
                except CannotHold as error:
                    raise CannotHold(f"Row {number}, column {column.name}: {error}") from error
            yield tuple(cells)


def rows_within(table: Table, *, rows: int, cells: int) -> int:
    """How many rows of the table to hold at once, that there are neither more rows nor more cells; one at
    least.
    """
    return max(1, min(rows, cells // len(table.columns)))


def in_groups(
    rows: Iterable[tuple[Value, ...]], size: int, *, most_text: int = MOST_TEXT
) -> Iterator[list[tuple[Value, ...]]]:
    """The rows in lists of at most `size` that end once they hold `most_text` characters; no empty list."""
    group: list[tuple[Value, ...]] = []
    text = 0
    for row in rows:
        group.append(row)
        text += sum([len(cell) for cell in row if isinstance(cell, str)])
        if len(group) == size or text >= most_text:
            yield group
            group, text = [], 0
    if group:
        yield group


def _checked(kind: ColumnType, cell: object) -> Value:
    match kind, cell:
        case ColumnType.BOOLEAN, bool():
            return cell
        case _, bool():
            pass
        case ColumnType.TEXT, str():
            if _UNWRITABLE.search(cell):
                raise CannotHold("text with a NUL or half a character.")
            return cell
        case ColumnType.INTEGER, int():
            if not SMALLEST_INTEGER <= cell <= LARGEST_INTEGER:
                raise CannotHold("an integer of more than 64 bits.")
            return cell
        case ColumnType.NUMBER, int() | float() | Decimal():
            return float(cell)
        case ColumnType.TIMESTAMP, datetime():
            if cell.tzinfo is None:
                raise CannotHold("a timestamp without a zone.")
            return cell.astimezone(UTC)
        case ColumnType.DATE, date() if not isinstance(cell, datetime):
            return cell
    raise CannotHold(f"{type(cell).__name__} where {kind} is asked for.")

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Final, NamedTuple, cast

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


_OWN: Final = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.NUMBER: float,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date,
    ColumnType.TIMESTAMP: datetime,
}


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


def checked_columns(table: Table, batches: Iterable[Batch]) -> Iterator[list[Sequence[Value]]]:
    """The cells of each batch, column by column, as their columns' types have them. Raises CannotHold."""
    before = 0
    for batch in batches:
        if not batch:
            continue
        try:
            # Both are strict: cells are as many as columns, in every row.
            checked = [
                _checked_column(column.type, cells)
                for column, cells in zip(table.columns, zip(*batch, strict=True), strict=True)
            ]
        except ValueError:
            for number, row in enumerate(batch, start=before + 1):
                _check_row(table, row, number)
            raise
        yield checked
        before += len(batch)


def checked_rows(table: Table, batches: Iterable[Batch]) -> Iterator[tuple[Value, ...]]:
    """The rows one by one, each cell as its column's type has it. Raises CannotHold."""
    for columns in checked_columns(table, batches):
        yield from zip(*columns, strict=True)


class Piece(NamedTuple):
    """Rows, column by column; `ends`: the group that they belong to ends with them."""

    columns: list[Sequence[Value]]
    rows: int
    ends: bool


def rows_within(table: Table, *, rows: int, cells: int) -> int:
    """How many rows of the table to hold at once, that there are neither more rows nor more cells; one at
    least.
    """
    return max(1, min(rows, cells // len(table.columns)))


def in_pieces(
    table: Table, batches: Iterable[Batch], size: int, *, most_text: int = MOST_TEXT
) -> Iterator[Piece]:
    """The rows in groups of at most `size` that end once they hold `most_text` characters, a piece of a group
    at a time. Where groups end depends on the rows alone, where pieces do on the batches. Raises CannotHold.
    """
    texts = [at for at, column in enumerate(table.columns) if column.type is ColumnType.TEXT]
    rows = text = 0
    for columns in checked_columns(table, batches):
        start, total = 0, len(columns[0])
        while start < total:
            end = min(total, start + size - rows)
            taken = [cells[start:end] for cells in columns]
            held = sum([_length(taken[at]) for at in texts])
            if text + held >= most_text:
                end = start + _until(taken, texts, most_text - text)
                taken = [cells[start:end] for cells in columns]
                held = sum([_length(taken[at]) for at in texts])
            rows, text = rows + end - start, text + held
            ends = rows == size or text >= most_text
            yield Piece(taken, end - start, ends)
            start = end
            if ends:
                rows = text = 0


def _until(columns: list[Sequence[Value]], texts: list[int], most: int) -> int:
    """How many rows there are until they hold so many characters."""
    held = 0
    for number, row in enumerate(zip(*(columns[at] for at in texts), strict=True), start=1):
        held += _length(row)
        if held >= most:
            return number
    return len(columns[0])


def _length(cells: Sequence[Value]) -> int:
    return sum([len(cell) for cell in cells if isinstance(cell, str)])


def _check_row(table: Table, row: Sequence[object], number: int) -> None:
    if len(row) != len(table.columns):
        raise CannotHold(f"Row {number} has {len(row)} cells, not {len(table.columns)}.")
    for column, cell in zip(table.columns, row, strict=True):
        try:
            if cell is not None:
                _checked(column.type, cell)
        except CannotHold as error:
            raise CannotHold(f"Row {number}, column {column.name}: {error}") from error


def _checked_column(kind: ColumnType, cells: Sequence[object]) -> Sequence[Value]:
    """Cells of the one type that is asked for are looked at together, others one by one: a tenth of the
    time for what comes from Postgres.
    """
    types = set(map(type, cells))
    types.discard(NoneType)
    if types <= {_OWN[kind]} and _ARE_FINE[kind](cells):
        return cast(Sequence[Value], cells)
    return [None if cell is None else _checked(kind, cell) for cell in cells]


def _are_texts(cells: Iterable[Any]) -> bool:
    return not any(
        "\0" in cell or (not cell.isascii() and _UNWRITABLE.search(cell))
        for cell in set(cells)
        if cell is not None
    )


def _are_integers(cells: Iterable[Any]) -> bool:
    values = {cell for cell in cells if cell is not None}
    return not values or (min(values) >= SMALLEST_INTEGER and max(values) <= LARGEST_INTEGER)


def _are_of_utc(cells: Iterable[Any]) -> bool:
    return all(cell is None or cell.tzinfo is UTC for cell in cells)


def _are_any(_: Iterable[Any]) -> bool:
    return True


_ARE_FINE: Final[Mapping[ColumnType, Callable[[Iterable[Any]], bool]]] = {
    ColumnType.TEXT: _are_texts,
    ColumnType.INTEGER: _are_integers,
    ColumnType.NUMBER: _are_any,
    ColumnType.BOOLEAN: _are_any,
    ColumnType.DATE: _are_any,
    ColumnType.TIMESTAMP: _are_of_utc,
}
"""Whether cells of the column's own type, or null, may stay as they are."""


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

"""SPSS: `<name>.sav` with the labels of variables and of values.

pyreadstat takes a whole data frame, so memory is bounded by parts: up to ROWS_A_PART rows, or CELLS_A_PART
cells, are one `.sav`; more are `<name>_sav.zip` with `<name>_1.sav`, `<name>_2.sav` … Within a part a text
column is as wide as its longest text, so parts may differ in width: R and Python bind them as they are, SPSS
wants `ALTER TYPE` before `ADD FILES`.

| what comes | what follows |
|---|---|
| null, NaN | system-missing: SPSS has one word for both; a null text is the empty text |
| an integer beyond ±2^53 | CannotHold: SPSS numbers are doubles and would be another number |
| a boolean | 0 and 1, labelled `no` and `yes` |
| a timestamp, a date | seconds of UTC since 1582, good for 2 µs; formats DATETIME, SDATE |
| a text of more than 32,767 bytes | cut there; the number of such cells in a note |
| a name that SPSS has for itself (`by`, `to` …) | the name with `_v`; said in a note |
| spaces at the end of a text | lost: SPSS pads texts with them |
| a label of more than 256 bytes (a value's: 120) | cut there; the codebook has it whole |
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, cast

import polars
import pyreadstat
from pyreadstat import ReadstatError

from sync_server.exports.cells import cut_to_bytes
from sync_server.exports.described import (
    Batch,
    CannotHold,
    Column,
    ColumnType,
    Piece,
    Table,
    Value,
    in_pieces,
    rows_within,
)
from sync_server.exports.whole_file import Written, described_file, whole_file
from sync_server.exports.zipped import member, zip_of

ROWS_A_PART: Final = 100_000
CELLS_A_PART: Final = 3_000_000
"""What is in memory at once; part of what the files are."""

LONGEST_TEXT: Final = 32_767
LARGEST_INTEGER: Final = 2**53

_UNWRITTEN: Final = "Unable to write data"
_LABEL: Final = 256
_VALUE_LABEL: Final = 120
_EPOCH: Final = datetime(1582, 10, 14, tzinfo=UTC)
_CREATED_AT: Final = 92
_CREATED: Final = b"01 Jan 0000:00:00"
_RESERVED: Final = frozenset(
    ("all", "and", "by", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "to", "with")
)
_FORMATS: Final = {
    ColumnType.INTEGER: "F18.0",
    ColumnType.NUMBER: "F18.6",
    ColumnType.BOOLEAN: "F1.0",
    ColumnType.DATE: "SDATE10",
    ColumnType.TIMESTAMP: "DATETIME26.3",
}


def write_spss(
    table: Table, batches: Iterable[Batch], folder: Path, *, rows_a_part: int = ROWS_A_PART
) -> Written:
    """Write `<name>.sav`, or `<name>_sav.zip` where there are more rows. Raises CannotHold, OSError."""
    names = [_name(column) for column in table.columns]
    if len(set(names)) != len(names):
        raise CannotHold(f"Two columns of {table.name} have one name in SPSS: {', '.join(sorted(names))}.")
    parts = _Parts(table)
    pieces = in_pieces(table, batches, rows_within(table, rows=rows_a_part, cells=CELLS_A_PART))
    target = folder / f"{table.name}.sav"
    part, following = parts.next(pieces)
    if following is None:
        with whole_file(target) as path:
            _write_part(table, part, path)
        return described_file(target, parts.rows, parts.notes(1))
    target = folder / f"{table.name}_sav.zip"
    count = 0
    with whole_file(target) as path, zip_of(path) as archive:
        while True:
            count += 1
            inside = path.parent / f"{table.name}_{count}.sav"
            _write_part(table, part, inside)
            with member(archive, inside.name) as file, inside.open("rb") as content:
                while read := content.read(1 << 20):
                    file.write(read)
            inside.unlink()
            if following is None:
                break
            del part
            part, following = parts.next(pieces, following)
    return described_file(target, parts.rows, parts.notes(count))


class _Parts:
    """Rows as data frames, a part at a time; counts the texts that were cut."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.rows = 0
        self._cuts = 0

    def next(
        self, pieces: Iterator[Piece], piece: Piece | None = None
    ) -> tuple[polars.DataFrame, Piece | None]:
        """The next part, which begins with the piece; with what the next begins. Raises CannotHold."""
        part = polars.DataFrame(schema={_name(one): _dtype(one) for one in self._table.columns})
        piece = piece or next(pieces, None)
        while piece is not None:
            part.vstack(self._frame(piece), in_place=True)
            ends = piece.ends
            piece = next(pieces, None)
            if ends:
                break
        return part, piece

    def _frame(self, piece: Piece) -> polars.DataFrame:
        series = [
            polars.Series(_name(column), self._cells(column, cells), dtype=_dtype(column))
            for column, cells in zip(self._table.columns, piece.columns, strict=True)
        ]
        self.rows += piece.rows
        return polars.DataFrame(series)

    def _cells(self, column: Column, cells: Sequence[Value]) -> Sequence[str | float | None]:
        if column.type is ColumnType.INTEGER:
            for number, cell in enumerate(cells, start=self.rows + 1):
                if isinstance(cell, int) and abs(cell) > LARGEST_INTEGER:
                    raise CannotHold(f"Row {number}, column {column.name}: SPSS would round it.")
        if column.type is ColumnType.NUMBER:
            return cast(Sequence[float | None], cells)
        return [self._cell(cell) for cell in cells]

    def _cell(self, cell: Value) -> str | float | None:
        if isinstance(cell, str):
            if len(cell) * 4 > LONGEST_TEXT and len(cell.encode()) > LONGEST_TEXT:
                self._cuts += 1
                return cut_to_bytes(cell, LONGEST_TEXT)
            return cell
        if isinstance(cell, datetime):
            return (cell - _EPOCH).total_seconds()
        if isinstance(cell, date):
            return (cell - _EPOCH.date()).total_seconds()
        return None if cell is None else float(cell)

    def notes(self, parts: int) -> tuple[str, ...]:
        """Sentences on what is not as it was."""
        said = [
            f"The column {column.name} is named {_name(column)}: SPSS has that word for itself."
            for column in self._table.columns
            if column.name in _RESERVED
        ]
        if parts > 1:
            said.append(f"The rows are in {parts} files.")
        if self._cuts:
            said.append(f"{self._cuts} texts are cut at {LONGEST_TEXT} bytes, SPSS's longest.")
        return tuple(said)


def _write_part(table: Table, part: polars.DataFrame, path: Path) -> None:
    try:
        pyreadstat.write_sav(
            part,
            path,
            file_label=cut_to_bytes(table.label, 64),
            column_labels=[cut_to_bytes(column.label, _LABEL) or None for column in table.columns],
            row_compress=True,
            variable_value_labels={_name(one): labels for one in table.columns if (labels := _labels(one))},
            variable_format={_name(one): _FORMATS[one.type] for one in table.columns if one.type in _FORMATS},
            variable_measure={_name(one): _measure(one) for one in table.columns},
        )
    except ReadstatError as error:
        if str(error) != _UNWRITTEN:
            raise
        # All it says of a write that came to nothing.
        raise OSError(errno.ENOSPC, str(error)) from error
    # The header says when it was written, and has no option not to.
    with path.open("r+b") as file:
        file.seek(_CREATED_AT)
        file.write(_CREATED)


def _name(column: Column) -> str:
    return f"{column.name}_v" if column.name in _RESERVED else column.name


def _dtype(column: Column) -> type[polars.String | polars.Float64]:
    return polars.String if column.type is ColumnType.TEXT else polars.Float64


def _labels(column: Column) -> dict[Any, str]:
    if column.type is ColumnType.BOOLEAN:
        return {0.0: "no", 1.0: "yes"}
    # Any: pyreadstat takes texts for columns of text, and says that it takes numbers.
    labels = {one.value: cut_to_bytes(one.label, _VALUE_LABEL) for one in column.allowed}
    if column.type is ColumnType.TEXT:
        return {str(value): label for value, label in labels.items()}
    return {float(value): label for value, label in labels.items()}


def _measure(column: Column) -> str:
    if column.allowed or column.type in {ColumnType.TEXT, ColumnType.BOOLEAN}:
        return "nominal"
    return "scale"

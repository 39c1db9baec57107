"""Excel: `<name>.xlsx` with the sheets `data` (`data 2` …) and `codebook`, row by row to the disk.

No cell is ever a formula or a link: texts are written as texts, and one that begins like a formula is marked
so (the mark a person makes with an apostrophe), for Excel to leave it a text when it is edited.

| what comes | what follows |
|---|---|
| more than 1,048,575 rows | further sheets `data 2`, `data 3` … with the header again; said in a note |
| more than 16,384 columns | CannotHold |
| a text of more than 32,767 characters (as UTF-16 counts) | cut there; the number of such cells in a note |
| an integer of more than 15 digits | text with all its digits: Excel would round it; said in a note |
| a number | 16 digits: the last of 17 may be another |
| NaN, infinity | the texts `NaN`, `Inf`, `-Inf` |
| a timestamp | a date of UTC in milliseconds: Excel knows no zones; before 1900 the text |
| null, empty text | both an empty cell |
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Final

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from sync_server.exports.cells import FORMULA, text_of
from sync_server.exports.codebook import HEADER, codebook_rows
from sync_server.exports.described import Batch, CannotHold, Table, Value, checked_rows
from sync_server.exports.whole_file import Written, described_file, whole_file

ROWS_A_SHEET: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
LONGEST_TEXT: Final = 32_767
EXACT: Final = 10**15
_CREATED: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - the property has no zone
_FIRST_YEAR: Final = 1900


class _Sheets:
    """The sheets of one workbook; remembers what it could not keep."""

    def __init__(self, table: Table, book: xlsxwriter.Workbook, rows_a_sheet: int) -> None:
        self._table = table
        self._book = book
        self._rows_a_sheet = rows_a_sheet
        self._bold: Format = book.add_format({"bold": True})
        self._marked: Format = book.add_format({"quote_prefix": True})
        self._date: Format = book.add_format({"num_format": "yyyy-mm-dd"})
        self._time: Format = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        self.count = 0
        self.cut = 0
        self.long_integers = 0
        self._next = 0
        self._sheet = self._new(self._table.names)

    def add(self, row: tuple[Value, ...]) -> None:
        """Write the row, on a new sheet where this one is full."""
        if self._next == self._rows_a_sheet:
            self._sheet = self._new(self._table.names)
        for at, cell in enumerate(row):
            if cell is not None and cell != "":
                self._write(at, cell)
        self._next += 1

    def add_codebook(self) -> None:
        """Write the codebook behind the data."""
        self._sheet = self._book.add_worksheet("codebook")
        self._header(HEADER)
        for row in codebook_rows(self._table):
            for at, text in enumerate(row):
                self._write(at, text)
            self._next += 1

    def _new(self, names: tuple[str, ...]) -> Worksheet:
        self.count += 1
        self._sheet = self._book.add_worksheet("data" if self.count == 1 else f"data {self.count}")
        self._header(names)
        return self._sheet

    def _header(self, names: tuple[str, ...]) -> None:
        self._sheet.freeze_panes(1, 0)
        for at, name in enumerate(names):
            self._sheet.write_string(0, at, name, self._bold)
        self._next = 1

    def _write(self, at: int, cell: str | float | bool | date) -> None:
        sheet, row = self._sheet, self._next
        if isinstance(cell, bool):
            sheet.write_boolean(row, at, cell)
        elif isinstance(cell, int | float) and _is_exact(cell):
            sheet.write_number(row, at, cell)
        elif isinstance(cell, datetime) and cell.year >= _FIRST_YEAR:
            sheet.write_datetime(row, at, cell.replace(tzinfo=None), self._time)
        elif isinstance(cell, date) and not isinstance(cell, datetime) and cell.year >= _FIRST_YEAR:
            sheet.write_datetime(row, at, cell, self._date)
        else:
            self.long_integers += isinstance(cell, int)
            self._write_text(at, text_of(cell))

    def _write_text(self, at: int, text: str) -> None:
        if len(text) > LONGEST_TEXT // 2 and len(text.encode("utf-16-le")) > 2 * LONGEST_TEXT:
            text = text.encode("utf-16-le")[: 2 * LONGEST_TEXT].decode("utf-16-le", errors="ignore")
            self.cut += 1
        self._sheet.write_string(self._next, at, text, self._marked if FORMULA.match(text) else None)

    def notes(self) -> tuple[str, ...]:
        """Sentences on what is not as it was."""
        said = []
        if self.count > 1:
            said.append(
                f"The rows are on {self.count} sheets: Excel holds {self._rows_a_sheet} lines a sheet."
            )
        if self.cut:
            said.append(f"{self.cut} texts are cut at {LONGEST_TEXT} characters, Excel's longest cell.")
        if self.long_integers:
            said.append(f"{self.long_integers} integers of more than 15 digits are texts.")
        return tuple(said)


def _is_exact(cell: int | float) -> bool:
    return abs(cell) < EXACT if isinstance(cell, int) else math.isfinite(cell)


def write_excel(
    table: Table, batches: Iterable[Batch], folder: Path, *, rows_a_sheet: int = ROWS_A_SHEET
) -> Written:
    """Write `<name>.xlsx`; `rows_a_sheet` counts the header. Raises CannotHold, OSError."""
    if len(table.columns) > MOST_COLUMNS:
        raise CannotHold(f"Excel holds {MOST_COLUMNS} columns, the table has {len(table.columns)}.")
    target = folder / f"{table.name}.xlsx"
    rows = 0
    with whole_file(target) as path, _as_os_error():
        options = {"constant_memory": True, "tmpdir": str(path.parent), "use_zip64": True}
        with xlsxwriter.Workbook(str(path), options) as book:
            book.set_properties({"created": _CREATED, "title": table.label})
            sheets = _Sheets(table, book, rows_a_sheet)
            for row in checked_rows(table, batches):
                sheets.add(row)
                rows += 1
            sheets.add_codebook()
    return described_file(target, rows, sheets.notes())


@contextmanager
def _as_os_error() -> Iterator[None]:
    """xlsxwriter hides what the disk said."""
    try:
        yield
    except FileCreateError as error:
        if isinstance(said := error.args[0], OSError):
            raise said from error
        raise

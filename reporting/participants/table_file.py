"""Participants as a CSV file: reading one that a person made, and writing one that a spreadsheet opens. Pure.

A spreadsheet takes a cell that begins with `= + - @`, a tab or a carriage return for a formula, and a
contact's name is typed by anybody. So such a cell is written with an apostrophe before it, and read without.
A cell that has apostrophes before such a character gets one more: what is written and read again is what it
was.

| in the file | what follows |
|---|---|
| `;` instead of `,` | told from the header |
| no header, an unknown or repeated column, no `code` | CannotRead |
| a row with more cells than columns, an unclosed quote | CannotRead, with the line |
| an empty cell | nothing is said: what is there stays |
| blank lines | passed over |
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from reporting.participants.contact import MEMBERS

COLUMNS: Final = ("code", "site", "status", "language", "enrolled_on", "redcap_id")
CONTACT_COLUMNS: Final = tuple(f"contact_{name}" for name in MEMBERS)
MOST_ROWS: Final = 20_000
LONGEST_CELL: Final = 8_000

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_QUOTED = re.compile(r"'+[=+\-@\t\r]")


class CannotRead(ValueError):
    """The text is no table of participants; the message says where and why."""


class Line(NamedTuple):
    """A row of the file: the line at which it ends, and its cells that say something, by column."""

    number: int
    cells: Mapping[str, str]


def read_table(text: str) -> list[Line]:
    """The rows after the header. Raises CannotRead."""
    if "\0" in text:
        raise CannotRead("The file holds a NUL character: it is no text.")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[Line] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells)
            elif len(cells) > len(header):
                raise CannotRead(f"Line {reader.line_num} has {len(cells)} cells, the header {len(header)}.")
            elif len(lines) == MOST_ROWS:
                raise CannotRead(f"The file has more than {MOST_ROWS} rows: import it in parts.")
            else:
                lines.append(_line(reader.line_num, header, cells))
    except csv.Error as error:
        raise CannotRead(f"Line {reader.line_num}: {error}.") from error
    if header is None:
        raise CannotRead("The file is empty: a header row is required.")
    return lines


def write_row(cells: Sequence[str | None]) -> str:
    """A line of CSV with its end; None is an empty cell."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow(["" if cell is None else quoted(cell) for cell in cells])
    return out.getvalue()


def quoted(cell: str) -> str:
    """The cell as no spreadsheet takes it for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unquoted(cell: str) -> str:
    """What `quoted` was given."""
    return cell[1:] if _QUOTED.match(cell) else cell


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    known = {*COLUMNS, *CONTACT_COLUMNS}
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(repr(name[:40]) for name in unknown[:10])
        raise CannotRead(f"Unknown column: {shown}. Known are {', '.join((*COLUMNS, *CONTACT_COLUMNS))}.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise CannotRead(f"The header has a column twice: {', '.join(repeated)}.")
    if "code" not in names:
        raise CannotRead("The header has no column `code`.")
    return names


def _line(number: int, header: Sequence[str], cells: Sequence[str]) -> Line:
    found = {}
    for name, cell in zip(header, cells, strict=False):
        if len(cell) > LONGEST_CELL:
            raise CannotRead(f"Line {number}: the cell {name} is longer than {LONGEST_CELL} characters.")
        value = unquoted(cell) if name in CONTACT_COLUMNS else unquoted(cell.strip())
        if value.strip():
            found[name] = value
    return Line(number, found)

"""CSV, and the CSV that REDCap's Data Import Tool takes.

**CSV**: `<name>.zip` with `<name>.csv`: UTF-8 without a byte order mark, RFC 4180 with `\\r\\n`, a header.
Null is nothing between the commas, empty text is `""`. How formulas are kept out of spreadsheets: `cells`.

**REDCap**: `<name>.csv`, one event and instrument a row as the caller arranged it; the record id
first.

| what comes | what follows |
|---|---|
| a timestamp | `YYYY-MM-DD HH:MM:SS` of UTC: fractions of a second are cut off, REDCap has none |
| a boolean | `1`, `0`; null is nothing: REDCap leaves such a field as it is |
| NaN, infinity | CannotHold: a number field of REDCap refuses the whole file |
| an empty record id | CannotHold: REDCap would refuse the file |
"""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from sync_server.exports.cells import csv_cell
from sync_server.exports.described import Batch, CannotHold, Table, Value, checked_rows, in_groups
from sync_server.exports.whole_file import Written, described_file, whole_file
from sync_server.exports.zipped import member, zip_of

_ROWS_AT_ONCE = 1_000


def write_csv(table: Table, batches: Iterable[Batch], folder: Path, *, guard: bool = False) -> Written:
    """Write `<name>.zip`; `guard` puts an apostrophe before formulas. Raises CannotHold, OSError."""
    target = folder / f"{table.name}.zip"
    rows = 0
    with (
        whole_file(target) as path,
        zip_of(path) as archive,
        member(archive, f"{table.name}.csv") as file,
    ):
        file.write(_line(table.names, guard=False).encode())
        for group in in_groups(checked_rows(table, batches), _ROWS_AT_ONCE):
            rows += len(group)
            file.write("".join([_line(row, guard=guard) for row in group]).encode())
    notes = ("Texts that a spreadsheet would compute begin with an apostrophe.",) if guard else ()
    return described_file(target, rows, notes)


def write_redcap_csv(table: Table, batches: Iterable[Batch], folder: Path) -> Written:
    """Write `<name>.csv`; the first column is the record id. Raises CannotHold, OSError."""
    target = folder / f"{table.name}.csv"
    rows = 0
    with whole_file(target) as path, path.open("xb") as file:
        file.write(_line(table.names, guard=False).encode())
        for group in in_groups(_redcap_rows(table, batches), _ROWS_AT_ONCE):
            rows += len(group)
            file.write("".join([_line(row, guard=False) for row in group]).encode())
    return described_file(target, rows)


def _line(cells: Iterable[Value], *, guard: bool) -> str:
    return ",".join([csv_cell(cell, guard=guard) for cell in cells]) + "\r\n"


def _redcap_rows(table: Table, batches: Iterable[Batch]) -> Iterator[tuple[Value, ...]]:
    for number, row in enumerate(checked_rows(table, batches), start=1):
        if row[0] is None or row[0] == "":
            raise CannotHold(f"Row {number} has no record id ({table.names[0]}).")
        try:
            yield tuple(_redcap_cell(cell) for cell in row)
        except CannotHold as error:
            raise CannotHold(f"Row {number}: {error}") from error


def _redcap_cell(cell: Value) -> Value:
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(cell, float) and not math.isfinite(cell):
        raise CannotHold("REDCap has neither NaN nor infinity.")
    return None if cell == "" else cell

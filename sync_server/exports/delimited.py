"""The CSV that REDCap's Data Import Tool takes: `<name>.csv`, UTF-8 without a byte order mark, RFC 4180 with
`\r\n`, a header; one event and instrument a row as the caller arranged it, the record id first. (CSV for
everybody else is Postgres's: `copied`.)

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
from sync_server.exports.described import Batch, CannotHold, Table, Value, checked_rows
from sync_server.exports.whole_file import Written, described_file, whole_file


def write_redcap_csv(table: Table, batches: Iterable[Batch], folder: Path) -> Written:
    """Write `<name>.csv`; the first column is the record id. Raises CannotHold, OSError."""
    target = folder / f"{table.name}.csv"
    rows = 0
    with whole_file(target) as path, path.open("xb") as file:
        file.write(_line(table.names))
        for row in _redcap_rows(table, batches):
            rows += 1
            file.write(_line(row))
    return described_file(target, rows)


def _line(cells: Iterable[Value]) -> bytes:
    return (",".join([csv_cell(cell) for cell in cells]) + "\r\n").encode()


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

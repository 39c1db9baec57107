"""NDJSON: `<name>.ndjson.gz`, an object a line, its members in the order of the columns.

| value | in the file |
|---|---|
| null | `null` |
| NaN, infinity | the texts `"NaN"`, `"Inf"`, `"-Inf"`: JSON has no such numbers |
| an integer beyond ±2^53 | a number with all its digits; JavaScript rounds it, Python does not |
| a date, a timestamp | text as in `cells` |
"""

import gzip
import math
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import msgspec

from sync_server.exports.cells import text_of
from sync_server.exports.described import Batch, Table, Value, checked_rows
from sync_server.exports.whole_file import Written, described_file, whole_file


def write_ndjson(table: Table, batches: Iterable[Batch], folder: Path) -> Written:
    """Write `<name>.ndjson.gz`. Raises CannotHold, OSError."""
    target = folder / f"{table.name}.ndjson.gz"
    encode = msgspec.json.Encoder().encode
    rows = 0
    with (
        whole_file(target) as path,
        path.open("xb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
    ):
        for row in checked_rows(table, batches):
            rows += 1
            cells = zip(table.names, row, strict=True)
            packed.write(encode({name: _json(cell) for name, cell in cells}) + b"\n")
    return described_file(target, rows)


def _json(cell: Value) -> str | int | float | bool | None:
    if isinstance(cell, date) or (isinstance(cell, float) and not math.isfinite(cell)):
        return text_of(cell)
    return cell

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
from typing import Final

import msgspec

from sync_server.exports.cells import text_of
from sync_server.exports.described import Batch, ColumnType, Table, Value, in_pieces
from sync_server.exports.whole_file import Written, described_file, whole_file

ROWS_AT_ONCE: Final = 2_000
LEVEL: Final = 1
"""Of zlib, as of CSV: at 6 a quarter of the time goes into it."""
_TEXTS: Final = frozenset((ColumnType.NUMBER, ColumnType.DATE, ColumnType.TIMESTAMP))
"""Values of these may be texts in JSON."""


def write_ndjson(table: Table, batches: Iterable[Batch], folder: Path) -> Written:
    """Write `<name>.ndjson.gz`. Raises CannotHold, OSError."""
    target = folder / f"{table.name}.ndjson.gz"
    encode = msgspec.json.Encoder().encode_lines
    names = table.names
    rows = 0
    lines: list[bytes] = []
    with (
        whole_file(target) as path,
        path.open("xb") as file,
        gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed,
    ):
        for piece in in_pieces(table, batches, ROWS_AT_ONCE):
            rows += piece.rows
            columns = [
                [_json(cell) for cell in cells] if column.type in _TEXTS else cells
                for column, cells in zip(table.columns, piece.columns, strict=True)
            ]
            rows_read = zip(*columns, strict=True)
            lines.append(encode([dict(zip(names, row, strict=True)) for row in rows_read]))
            if piece.ends:
                packed.write(b"".join(lines))
                lines.clear()
        packed.write(b"".join(lines))
    return described_file(target, rows)


def _json(cell: Value) -> str | int | float | bool | None:
    if isinstance(cell, date) or (isinstance(cell, float) and not math.isfinite(cell)):
        return text_of(cell)
    return cell

"""Parquet: `<name>.parquet`, one row group at a time in memory, the description in the metadata.

A column's metadata are `label`, `type`, `unit`, `missing` and `allowed` (JSON: a list of value and label);
pandas and R's arrow keep them in the schema. Every kind of value is held exactly; NaN is not null.
Timestamps are microseconds of UTC.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from sync_server.exports.described import Batch, Column, ColumnType, Table, in_pieces, rows_within
from sync_server.exports.whole_file import Written, described_file, whole_file

ROWS_A_GROUP: Final = 10_000
CELLS_A_GROUP: Final = 400_000
"""What is in memory at once, as arrays, of many columns fewer rows; part of the file's bytes."""

_TYPES: Final = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


def write_parquet(table: Table, batches: Iterable[Batch], folder: Path) -> Written:
    """Write `<name>.parquet`. Raises CannotHold, OSError."""
    target = folder / f"{table.name}.parquet"
    schema = pa.schema(
        [_field(column) for column in table.columns], metadata={"name": table.name, "label": table.label}
    )
    most = rows_within(table, rows=ROWS_A_GROUP, cells=CELLS_A_GROUP)
    rows = 0
    with whole_file(target) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        group: list[pa.RecordBatch] = []
        for piece in in_pieces(table, batches, most):
            rows += piece.rows
            arrays = [
                pa.array(cells, kept.type, from_pandas=False)
                for kept, cells in zip(schema, piece.columns, strict=True)
            ]
            group.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
            if piece.ends:
                _write_group(writer, group)
                group = []
        if group:
            _write_group(writer, group)
    return described_file(target, rows)


def _write_group(writer: pq.ParquetWriter, group: list[pa.RecordBatch]) -> None:
    # In one chunk: where pages end would depend on the chunks.
    writer.write_table(pa.Table.from_batches(group).combine_chunks(), row_group_size=ROWS_A_GROUP)


def _field(column: Column) -> pa.Field:
    described = {"label": column.label, "type": column.type.value, "unit": column.unit}
    described["missing"] = column.missing
    if column.allowed:
        described["allowed"] = msgspec.json.encode(column.allowed).decode()
    return pa.field(column.name, _TYPES[column.type], metadata={k: v for k, v in described.items() if v})

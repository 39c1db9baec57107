"""The codebook: what each column of a table is, as CSV and as JSON. Pure."""

import msgspec

from sync_server.exports.cells import csv_cell
from sync_server.exports.described import Table

HEADER = ("name", "label", "type", "unit", "allowed_values", "missing")


def codebook_rows(table: Table) -> list[tuple[str, ...]]:
    """A row a column, as HEADER says; allowed values are `value=label; …`."""
    return [
        (
            column.name,
            column.label,
            column.type.value,
            column.unit,
            "; ".join(f"{one.value}={one.label}" for one in column.allowed),
            column.missing,
        )
        for column in table.columns
    ]


def codebook_csv(table: Table) -> bytes:
    """`codebook.csv`: UTF-8; guarded against formulas, since it is opened in spreadsheets."""
    lines = [HEADER, *codebook_rows(table)]
    return "".join(",".join(csv_cell(cell, guard=True) for cell in line) + "\r\n" for line in lines).encode()


def codebook_json(table: Table) -> bytes:
    """`codebook.json`: the table's name and label, its columns with allowed values as lists."""
    return msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n"

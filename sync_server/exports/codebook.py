"""The codebook: what each column of each file is, as CSV and as JSON. Pure. As PDF: `codebook_pdf`."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sync_server.exports.cells import csv_cell
from sync_server.exports.described import Table

VERSION = 1
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


class Described(NamedTuple):
    """A file of an export, and the table that it holds; what a file holds beside it as `<file>: <name>`."""

    file: str
    table: Table


def codebook_csv(described: Sequence[Described]) -> bytes:
    """`codebook.csv`: UTF-8; guarded against formulas, since it is opened in spreadsheets."""
    lines: list[tuple[str, ...]] = [("file", *HEADER)]
    lines += [(one.file, *row) for one in described for row in codebook_rows(one.table)]
    return "".join(",".join(csv_cell(cell, guard=True) for cell in line) + "\r\n" for line in lines).encode()


def codebook_json(described: Sequence[Described]) -> bytes:
    """`codebook.json`: by file the table's name and label, its columns with allowed values as lists."""
    content = {
        "codebook_version": VERSION,
        "files": [{"file": one.file, "table": one.table} for one in described],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"

"""What another program reads from a file is what went in."""

import csv
import gzip
import io
import json
import math
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pyreadstat
from openpyxl.utils.escape import unescape

from sync_server.exports.cells import csv_cell
from sync_server.exports.delimited import write_redcap_csv
from sync_server.exports.described import Column, ColumnType, Table
from sync_server.exports.excel import write_excel
from sync_server.exports.ndjson import write_ndjson
from sync_server.exports.parquet import write_parquet
from sync_server.exports.spss import write_spss
from tests.exports.tables import EVERYTHING, FIRST, LONG, ROWS, assert_same, batched, with_big_integers

PARSED: dict[ColumnType, Callable[[str], object]] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.NUMBER: float,
    ColumnType.BOOLEAN: lambda text: {"true": True, "false": False}[text],
    ColumnType.DATE: date.fromisoformat,
    ColumnType.TIMESTAMP: datetime.fromisoformat,
}


def test_cells_of_csv_read_back_are_what_went_in_and_formulas_are_guarded_where_asked() -> None:
    csv.field_size_limit(10_000_000)
    rows = [[csv_cell(cell) for cell in row] for row in with_big_integers()]
    lines = csv.reader(io.StringIO("\r\n".join(map(",".join, rows)), newline=""), strict=True)
    read = [
        [
            PARSED[column.type](cell) if cell or column.type is ColumnType.TEXT else None
            for column, cell in zip(EVERYTHING.columns, line, strict=True)
        ]
        for line in lines
    ]
    # A reader of CSV takes nothing for empty text; the cells themselves keep them apart.
    assert_same(read, [("" if row[0] is None else row[0], *row[1:]) for row in _in_utc(with_big_integers())])
    assert (csv_cell(""), csv_cell(None)) == ('""', "")
    assert csv_cell('=HYPERLINK("x")', guard=True) == '"\'=HYPERLINK(""x"")"'
    assert csv_cell(-3, guard=True) == "-3"


def test_ndjson_read_back_is_what_went_in(tmp_path: Path) -> None:
    rows = with_big_integers()
    write_ndjson(EVERYTHING, batched(rows, 3), tmp_path)
    lines = gzip.decompress((tmp_path / "scores_long.ndjson.gz").read_bytes()).splitlines()
    texts = {ColumnType.NUMBER, ColumnType.DATE, ColumnType.TIMESTAMP}
    read = []
    for line in lines:
        members = json.loads(line)
        assert tuple(members) == EVERYTHING.names
        read.append(
            [
                PARSED[column.type](cell) if isinstance(cell, str) and column.type in texts else cell
                for column in EVERYTHING.columns
                for cell in [members[column.name]]
            ]
        )
    assert_same(read, rows)


def test_parquet_read_back_is_what_went_in_with_the_description(tmp_path: Path) -> None:
    rows = with_big_integers()
    write_parquet(EVERYTHING, batched(rows, 3), tmp_path)
    table = pq.read_table(tmp_path / "scores_long.parquet")
    assert_same([tuple(one.values()) for one in table.to_pylist()], _in_utc(rows))
    kept = table.schema.field("rt").metadata
    assert kept[b"label"] == b"Median reaction time"
    assert (kept[b"unit"], kept[b"missing"]) == (b"ms", b"no valid trial")
    allowed = json.loads(table.schema.field("hand").metadata[b"allowed"])
    assert allowed == [{"value": 1, "label": "right, Ärmel"}, {"value": 2, "label": "left"}]


def test_excel_read_back_is_what_went_in_but_for_what_excel_cannot_hold(tmp_path: Path) -> None:
    rows = with_big_integers()
    written = write_excel(EVERYTHING, batched(rows, 3), tmp_path, rows_a_sheet=5)
    book = openpyxl.load_workbook(tmp_path / "scores_long.xlsx")
    assert book.sheetnames == ["data", "data 2", "data 3", "codebook"]
    sheets = [book[name] for name in book.sheetnames[:3]]
    assert all(tuple(cell.value for cell in sheet[1]) == EVERYTHING.names for sheet in sheets)
    read = [
        [_as_excel_shows(cell.value) for cell in line]
        for sheet in sheets
        for line in sheet.iter_rows(min_row=2, max_col=7)
    ]
    assert_same(read, [[_in_excel(cell) for cell in row] for row in rows])
    formula = book["data"]["A3"]
    assert (formula.data_type, formula.quotePrefix) == ("s", True)
    assert book["codebook"]["B4"].value == "Median reaction time"
    assert written.notes == (
        "The rows are on 3 sheets: Excel holds 5 lines a sheet.",
        "1 texts are cut at 32767 characters, Excel's longest cell.",
        "3 integers of more than 15 digits are texts.",
    )


def test_spss_read_back_is_what_went_in_with_labels(tmp_path: Path) -> None:
    written = write_spss(EVERYTHING, batched(ROWS, 3), tmp_path)
    read, meta = pyreadstat.read_sav(tmp_path / "scores_long.sav", output_format="dict")
    assert_same(
        [[_to_milliseconds(cell) for cell in row] for row in zip(*read.values(), strict=True)],
        [[_in_spss(*pair) for pair in _pairs(row)] for row in ROWS],
    )
    assert meta.column_names_to_labels["rt"] == "Median reaction time"
    assert meta.variable_value_labels == {
        "done": {0.0: "no", 1.0: "yes"},
        "hand": {1.0: "right, Ärmel", 2.0: "left"},
    }
    assert written.notes == ("1 texts are cut at 32767 bytes, SPSS's longest.",)


def test_spss_with_more_rows_than_a_part_is_a_zip_of_parts_and_no_rows_are_a_file_too(tmp_path: Path) -> None:
    table = Table("trials", "Trials", (Column("by", ColumnType.INTEGER, "Order"),))
    written = write_spss(table, batched([(n,) for n in range(25)], 4), tmp_path, rows_a_part=10)
    assert (written.name, written.rows) == ("trials_sav.zip", 25)
    assert written.notes[0] == "The column by is named by_v: SPSS has that word for itself."
    archive = zipfile.ZipFile(tmp_path / "trials_sav.zip")
    assert archive.namelist() == ["trials_1.sav", "trials_2.sav", "trials_3.sav"]
    archive.extractall(tmp_path)
    read = [pyreadstat.read_sav(tmp_path / name, output_format="dict")[0] for name in archive.namelist()]
    assert [number for part in read for number in part["by_v"]] == [float(n) for n in range(25)]
    assert write_spss(table, [], tmp_path).name == "trials.sav"
    empty, _ = pyreadstat.read_sav(tmp_path / "trials.sav", output_format="dict")
    assert dict(empty) == {"by_v": []}


def test_redcap_csv_has_dates_booleans_and_nothing_as_redcap_reads_them(tmp_path: Path) -> None:
    rows = [("1", None, 0.5, True, date(2020, 1, 2), FIRST, 1), ("2", 7, None, False, None, None, None)]
    write_redcap_csv(EVERYTHING, [rows], tmp_path)
    assert (tmp_path / "scores_long.csv").read_text().splitlines()[1:] == [
        "1,,0.5,1,2020-01-02,2026-03-29 01:30:00,1",
        "2,7,,0,,,",
    ]


def _in_utc(rows: tuple[tuple[object, ...], ...]) -> list[list[object]]:
    return [[cell.astimezone(UTC) if isinstance(cell, datetime) else cell for cell in row] for row in rows]


def _in_excel(cell: object) -> object:
    if cell == LONG:
        return LONG[:32_767]
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).replace(tzinfo=None)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001 - Excel has no zones
    if isinstance(cell, float):
        return _number_in_excel(cell)
    if isinstance(cell, int) and abs(cell) >= 10**15:
        return str(cell)
    return None if cell == "" else cell


def _number_in_excel(cell: float) -> object:
    if not math.isfinite(cell):
        return "NaN" if math.isnan(cell) else "Inf"
    near = float(f"{cell:.16G}")
    return int(near) if near == int(near) else near


def _as_excel_shows(cell: object) -> object:
    # Excel's own way to write a carriage return, which openpyxl leaves as it is.
    return unescape(cell) if isinstance(cell, str) else cell


def _pairs(row: tuple[object, ...]) -> list[tuple[Column, object]]:
    return list(zip(EVERYTHING.columns, row, strict=True))


def _in_spss(column: Column, cell: object) -> object:
    if column.type is ColumnType.TEXT:
        return LONG[: 32_767 // 2] if cell == LONG else cell or ""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).replace(tzinfo=None)
    return cell if isinstance(cell, date) else float(str(cell)) if not isinstance(cell, bool) else float(cell)


def _to_milliseconds(cell: object) -> object:
    # A double of seconds since 1582 is good for two microseconds.
    if isinstance(cell, datetime):
        cell += timedelta(microseconds=500)
        return cell.replace(microsecond=cell.microsecond // 1000 * 1000)
    return cell

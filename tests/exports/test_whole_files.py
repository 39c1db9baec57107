"""The same data are the same bytes; a file appears when it is whole; what no format holds is refused."""

import errno
import hashlib
import json
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from sync_server.exports.codebook import Described, codebook_csv, codebook_json
from sync_server.exports.codebook_pdf import codebook_pdf
from sync_server.exports.delimited import write_redcap_csv
from sync_server.exports.described import (
    CannotHold,
    Column,
    ColumnType,
    Table,
    checked_rows,
    in_pieces,
    rows_within,
)
from sync_server.exports.excel import write_excel
from sync_server.exports.formats import FORMATS, MEDIA_TYPES, FormatNotInstalled, Writer, writer_of
from sync_server.exports.manifest import manifest
from sync_server.exports.spss import write_spss
from sync_server.exports.whole_file import Written, sweep
from tests.exports.tables import EVERYTHING, FIRST, KABUL, ROWS, batched

WRITERS = {name: writer_of(name) for name in FORMATS}
NUMBERS = Table("numbers", "Numbers", (Column("n", ColumnType.INTEGER, "n"),))

every_format = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())


@every_format
def test_same_rows_in_other_batches_and_zones_are_the_same_bytes(write: Writer, tmp_path: Path) -> None:
    rows = [row for row in ROWS if row[0] and row[2] == row[2]]
    elsewhere = [
        tuple(cell.astimezone(KABUL) if isinstance(cell, datetime) else cell for cell in row) for row in rows
    ]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first = write(EVERYTHING, [rows], folders[0])
    second = write(EVERYTHING, batched(elsewhere, 1), folders[1])
    assert first == second
    files = [(folder / first.name).read_bytes() for folder in folders]
    assert files[0] == files[1]
    assert (first.sha256, first.size) == (hashlib.sha256(files[0]).hexdigest(), len(files[0]))
    assert Path(first.name).suffix in MEDIA_TYPES
    assert (first.rows, [one.name for one in folders[0].iterdir()]) == (len(rows), [first.name])


@pytest.mark.parametrize(("columns", "rows"), [(1, 100_000), (30, 100_000), (31, 96_774), (3_000, 1_000)])
def test_what_is_held_at_once_is_bounded_by_cells(columns: int, rows: int) -> None:
    table = Table("t", "T", tuple(Column(f"n{number}", ColumnType.INTEGER, "n") for number in range(columns)))
    assert rows_within(table, rows=100_000, cells=3_000_000) == rows


@every_format
def test_a_full_disk_is_told_as_such_and_nothing_is_left(write: Writer, tmp_path: Path) -> None:
    rows = [(f"{number}", hashlib.sha256(b"%d" % number).hexdigest()) for number in range(5_000)]
    texts = Table("texts", "Texts", tuple(Column(name, ColumnType.TEXT, name) for name in ("id", "digest")))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r".") as told:
            write(texts, [rows], tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.errno in {errno.EFBIG, errno.ENOSPC}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_excel, write_spss], ids=["excel", "spss"])
def test_a_file_holds_no_time_of_its_making(write: Writer, tmp_path: Path) -> None:
    name = write(NUMBERS, [[(1,)]], tmp_path).name
    year = str(datetime.now().astimezone().year)
    content = (tmp_path / name).read_bytes()
    if zipfile.is_zipfile(tmp_path / name):
        archive = zipfile.ZipFile(tmp_path / name)
        assert {one.date_time[0] for one in archive.infolist()} == {1980}
        content = b"".join(archive.read(one) for one in archive.namelist() if one.startswith("docProps"))
        assert year.encode() not in content
    else:
        assert content[92:109] == b"01 Jan 0000:00:00"


@every_format
def test_a_failure_in_the_middle_leaves_what_stood_there_and_nothing_else(
    write: Writer, tmp_path: Path
) -> None:
    name = write(NUMBERS, [[(1,)]], tmp_path).name
    before = (tmp_path / name).read_bytes()

    def broken() -> Iterator[Sequence[Sequence[object]]]:
        yield [(2,)] * 2_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        write(NUMBERS, broken(), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == before


KILLED = """
import os, signal, sys
from pathlib import Path
from sync_server.exports.described import Column, ColumnType, Table
from sync_server.exports.formats import writer_of

def batches():
    yield [(1,)] * 2_000
    os.kill(os.getpid(), signal.SIGKILL)

numbers = Table("numbers", "Numbers", (Column("n", ColumnType.INTEGER, "n"),))
writer_of(sys.argv[1])(numbers, batches(), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("name", ["redcap", "excel"])
def test_a_killed_writer_leaves_no_file_under_its_name_and_the_next_one_writes_it(
    name: str, tmp_path: Path
) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, name, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    left = [one.name for one in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].endswith(".part")
    written = WRITERS[name](NUMBERS, [[(1,)]], tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [written.name]
    (tmp_path / ".other.zip.part").mkdir()
    sweep(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [written.name]


@pytest.mark.parametrize(
    ("kind", "cell", "said"),
    [
        (ColumnType.INTEGER, 2**63, "Row 2, column a: an integer of more than 64 bits."),
        (ColumnType.INTEGER, True, "Row 2, column a: bool where integer is asked for."),
        (ColumnType.INTEGER, 1.0, "Row 2, column a: float where integer is asked for."),
        (ColumnType.BOOLEAN, 1, "Row 2, column a: int where boolean is asked for."),
        (ColumnType.TEXT, "a\0b", "Row 2, column a: text with a NUL or half a character."),
        (ColumnType.TEXT, "\ud83e", "Row 2, column a: text with a NUL or half a character."),
        (ColumnType.TIMESTAMP, FIRST.replace(tzinfo=None), "Row 2, column a: a timestamp without a zone."),
        (ColumnType.DATE, FIRST, "Row 2, column a: datetime where date is asked for."),
    ],
)
def test_a_cell_that_no_format_holds_is_named(kind: ColumnType, cell: object, said: str) -> None:
    table = Table("t", "T", (Column("a", kind, "A"),))
    with pytest.raises(CannotHold) as refused:
        list(checked_rows(table, [[(None,)], [(cell,)]]))
    assert str(refused.value) == said


def test_rows_of_other_lengths_and_unfit_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotHold, match="Row 1 has 2 cells, not 1"):
        write_redcap_csv(NUMBERS, [[(1, 2)]], tmp_path)
    for names in ((), ("a", "a"), ("A",), ("1a",), ("../a",)):
        with pytest.raises(CannotHold):
            Table("t", "T", tuple(Column(name, ColumnType.TEXT, "") for name in names))
    with pytest.raises(CannotHold, match="SPSS would round it"):
        write_spss(NUMBERS, [[(2**53 + 1,)]], tmp_path)
    twins = Table("t", "T", tuple(Column(name, ColumnType.TEXT, "") for name in ("by", "by_v")))
    with pytest.raises(CannotHold, match="Two columns of t have one name in SPSS: by_v, by_v"):
        write_spss(twins, [], tmp_path)
    with pytest.raises(CannotHold, match="Row 1 has no record id"):
        write_redcap_csv(NUMBERS, [[(None,)]], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_codebook_says_every_column_and_is_guarded() -> None:
    column = Column("rt", ColumnType.NUMBER, "=1+1", unit="ms", missing="none")
    assert codebook_csv([Described("t.csv", Table("t", "T", (column,)))]).decode().splitlines() == [
        "file,name,label,type,unit,allowed_values,missing",
        't.csv,rt,\'=1+1,number,ms,"",none',
    ]
    described = Described("everything.csv", EVERYTHING)
    [told] = json.loads(codebook_json([described]))["files"]
    said = told["table"]
    assert told["file"] == "everything.csv"
    one, other = (codebook_pdf([described, described], title="S1", language="fr") for _ in range(2))
    assert one == other
    assert one.startswith(b"%PDF")
    assert [one["name"] for one in said["columns"]] == list(EVERYTHING.names)
    assert said["columns"][6]["allowed"][0] == {"value": 1, "label": "right, Ärmel"}


def test_manifest_is_the_same_whatever_the_order_it_is_told_in() -> None:
    files = [Written("b.zip", 2, 3, "ff", ("note",)), Written("a.zip", 1, 1, "00")]
    one = manifest(files, data={"dataset": "trials", "study": "S1"}, watermark={"b": 1, "a": "2026"})
    other = manifest(files[::-1], data={"study": "S1", "dataset": "trials"}, watermark={"a": "2026", "b": 1})
    assert one == other
    said = json.loads(one)
    assert [file["name"] for file in said["files"]] == ["a.zip", "b.zip"]
    assert said["files"][1] == {"name": "b.zip", "rows": 2, "bytes": 3, "sha256": "ff", "notes": ["note"]}


def test_an_unknown_format_and_one_without_its_library_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotHold, match="There is no format 'doc'; there are ndjson, parquet"):
        writer_of("doc")
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    monkeypatch.delitem(sys.modules, "sync_server.exports.spss", raising=False)
    with pytest.raises(FormatNotInstalled, match=r"needs pyreadstat: pip install 'metricis-sync\[exports\]'"):
        writer_of("spss")


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_groups_end_with_their_rows_or_their_text_wherever_batches_do(size: int) -> None:
    table = Table("t", "T", (Column("a", ColumnType.TEXT, "A"), Column("n", ColumnType.INTEGER, "N")))
    rows = [("a" * length, length) for length in (1, 1, 1, 9, 1, 1)]
    groups: list[list[object]] = [[]]
    for piece in in_pieces(table, batched(rows, size), 3, most_text=5):
        assert piece.rows == len(piece.columns[0])
        groups[-1] += piece.columns[1]
        if piece.ends:
            groups.append([])
    assert groups == [[1, 1, 1], [9], [1, 1]]

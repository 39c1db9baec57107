"""Field sessions, projected and exported: what is read back is what the database has, in every format."""

import csv
import gzip
import io
import json
import math
import threading
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pyarrow.parquet as pq
import pyreadstat
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, Engine, text

from reporting.engine import sync_engine
from reporting.projection.pump import Pump
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import count_rows, typed_rows
from reporting.research.variables import Type
from sync_server.cli import main
from sync_server.exports.cells import guarded
from sync_server.exports.exporting import MAKER
from sync_server.exports.request import ExportRequest
from sync_server.research_files.making import Cancelled, Made, Wanted
from sync_server.research_files.running import make_here
from tests.projection.memory_feed import MemoryFeed
from tests.research.projected import PREPARED, field_documents

ROWS = Rows("SRO")
EPOCH = datetime.fromisoformat("1582-10-14T00:00:00+00:00")


@pytest.fixture
async def field(database_url: str, shared_field_sessions: Path | None) -> AsyncIterator[Engine]:
    """Field sessions of two sites, with a roster, visits, contradictions and a policy."""
    feed = MemoryFeed("lima", "nairobi")
    for site, documents in field_documents(shared_field_sessions).items():
        for document in documents[:3]:
            feed[site].save(document, "1-a")
    await Pump(feed, database_url).drain()
    engine = sync_engine(database_url)
    with engine.begin() as connection:
        for statement in PREPARED.split(";\n"):
            connection.execute(text(statement.replace(":", r"\:").replace(r"\:\:", "::")))
        connection.execute(
            text("INSERT INTO research_policies (study, secret) VALUES ('SRO', sha256('secret'))")
        )
    yield engine
    engine.dispose()


class Exports:
    """Exports of the study, made here."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.meanwhile = ""
        """A statement that somebody else executes while the first dataset is read."""

    def make(
        self, *datasets: str, identified: bool = True, times: int = 1, **request: Any
    ) -> dict[str, bytes]:
        """The files in it, by name; made several times, the same bytes."""
        named: Any = datasets
        asked = ExportRequest(datasets=named, **request)
        wanted = Wanted(
            kind="export", study="SRO", sites=None, identified=identified, request=asked.as_json()
        )
        contents = []
        told: list[tuple[int, int | None]] = []
        for turn in range(times):
            folder = self.folder / f"turn {turn}"
            folder.mkdir(exist_ok=True)
            told.clear()

            def tell(done: int, total: int | None, _: str) -> None:
                told.append((done, total))
                if self.meanwhile:
                    with self.engine.begin() as connection:
                        connection.execute(text(self.meanwhile))
                    self.meanwhile = ""

            made: Made = make_here(self.engine, wanted, MAKER, folder, tell)
            done = [each for each, _ in told]
            assert done == sorted(done)
            assert all(total is not None and each <= total for each, total in told)
            assert told[-1] == (made.rows, made.rows)
            contents.append(made.path.read_bytes())
            made.path.unlink()
            assert list(folder.iterdir()) == []
        assert len(set(contents)) == 1
        with zipfile.ZipFile(io.BytesIO(contents[0])) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        described = {
            each["file"]: [column["name"] for column in each["table"]["columns"]]
            for each in json.loads(files["codebook.json"])["files"]
        }
        in_csv: dict[str, list[str]] = {}
        for row in csv.DictReader(io.StringIO(files["codebook.csv"].decode())):
            in_csv.setdefault(row["file"], []).append(row["name"])
        listed = {each["name"] for each in json.loads(files["manifest.json"])["files"]}
        codebook = {"codebook.csv", "codebook.json", "codebook.pdf", "manifest.json"}
        assert {name.partition(": ")[0] for name in described} == listed == files.keys() - codebook
        assert described == in_csv
        self.described = described
        return files

    def expected(self, name: str, audience: Audience = Audience.IDENTIFIED) -> list[list[Any]]:
        with self.engine.connect() as connection:
            return [list(row) for row in connection.execute(typed_rows(DATASETS[name], audience, ROWS))]


@pytest.fixture
def exports(field: Engine, tmp_path: Path) -> Exports:
    return Exports(field, tmp_path)


def from_csv(name: str, content: bytes) -> tuple[list[str], list[list[Any]]]:
    """Header and typed rows. The reader of the standard library does not tell null from empty text."""
    types = [each.type for each in DATASETS[name].variables]
    header, *lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    read: dict[Type, Any] = {
        Type.INTEGER: int,
        Type.NUMBER: float,
        Type.BOOLEAN: {"true": True, "false": False}.__getitem__,
        Type.DATE: date.fromisoformat,
        Type.TIMESTAMP: datetime.fromisoformat,
    }
    rows = [
        [None if cell == "" else read.get(kind, str)(cell) for kind, cell in zip(types, line, strict=True)]
        for line in lines
    ]
    return header, rows


def in_spss(cell: Any) -> Any:
    match cell:
        case None:
            return None
        case datetime():
            return round((cell - EPOCH).total_seconds(), 3)
        case date():
            return (cell - EPOCH.date()).total_seconds()
        case str():
            return cell.rstrip(" ")
        case _:
            return float(cell)


def of_spss(cell: Any) -> Any:
    if isinstance(cell, float):
        return None if cell != cell else round(cell, 3) if cell > 1e9 else cell  # noqa: PLR0124
    return cell


def test_every_dataset_read_back_from_csv_parquet_and_spss_is_what_the_database_has(
    exports: Exports, tmp_path: Path
) -> None:
    expected = {name: exports.expected(name) for name in DATASETS}
    assert all(expected[name] for name in DATASETS)
    files = exports.make(*DATASETS, format="csv", times=2)
    for name, dataset in DATASETS.items():
        header, rows = from_csv(name, files[f"{name}.csv"])
        assert header == exports.described[f"{name}.csv"] == [each.name for each in dataset.variables]
        # Texts of the field sessions are never empty, JSON of one is `""`.
        assert rows == expected[name], name
    # Of the codes nothing is left, wherever they stood.
    hidden = exports.make(*DATASETS, identified=False)
    assert from_csv("trials", hidden["trials.csv"])[1] == exports.expected("trials", Audience.DEIDENTIFIED)
    codes = {row[2] for row in expected["sessions_wide"]}
    assert all(code.encode() not in content for content in hidden.values() for code in codes)
    # Nor in the order of people, which would tell it where codes are numbers.
    for name in ("participants", "visits"):
        at = exports.described[f"{name}.csv"].index("participant")
        people = [row[at] for row in from_csv(name, hidden[f"{name}.csv"])[1]]
        assert people == sorted(people)
        assert len(set(people)) > 3
    files = exports.make(*DATASETS, format="parquet")
    for name in DATASETS:
        table = pq.read_table(io.BytesIO(files[f"{name}.parquet"]))
        assert table.column_names == exports.described[f"{name}.parquet"]
        assert [list(row.values()) for row in table.to_pylist()] == expected[name], name
    files = exports.make("trials", "sessions_wide", "visits", "provenance", format="spss", language="fr")
    for name in ("trials", "sessions_wide", "visits", "provenance"):
        path = tmp_path / f"{name}.sav"
        path.write_bytes(files[path.name])
        read, meta = pyreadstat.read_sav(path, output_format="dict", disable_datetime_conversion=True)
        assert list(read) == exports.described[path.name]
        wanted = [[in_spss(cell) for cell in row] for row in expected[name]]
        texts = {
            at for at, each in enumerate(DATASETS[name].variables) if each.type in {Type.TEXT, Type.JSON}
        }
        # SPSS has no missing texts.
        wanted = [
            ["" if cell is None and at in texts else cell for at, cell in enumerate(row)] for row in wanted
        ]
        assert [[of_spss(cell) for cell in row] for row in zip(*read.values(), strict=True)] == wanted, name
        assert meta.column_names_to_labels["study"] == "Étude"


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_all_datasets_are_of_one_moment_whatever_is_written_meanwhile(exports: Exports, format_: str) -> None:
    before = exports.make("sessions_wide", "trials", "visits", format=format_)
    exports.meanwhile = "DELETE FROM visits; DELETE FROM task_runs; DELETE FROM sessions"
    assert exports.make("sessions_wide", "trials", "visits", format=format_) == before
    assert exports.meanwhile == ""
    assert exports.make("sessions_wide", "trials", "visits", format=format_) != before


def test_the_other_formats_hold_every_row_and_the_command_makes_the_same_bytes(
    exports: Exports, database_url: str, tmp_path: Path
) -> None:
    trials, sessions = exports.expected("trials"), exports.expected("sessions_wide")
    lines = gzip.decompress(exports.make("trials", format="ndjson")["trials.ndjson.gz"]).splitlines()
    assert [json.loads(line)["rt_ms"] for line in lines] == [row[9] for row in trials]
    book = openpyxl.load_workbook(
        io.BytesIO(exports.make("sessions_wide", format="excel", times=2)["sessions_wide.xlsx"]),
        read_only=True,
    )
    assert [row[4] for row in book["data"].iter_rows(min_row=2, values_only=True)] == [
        row[4] for row in sessions
    ]
    content = exports.make("sessions_wide", format="redcap")["sessions_wide.csv"].decode()
    records = list(csv.DictReader(io.StringIO(content)))
    assert list(records[0]) == exports.described["sessions_wide.csv"]
    keys = [(row["record_id"], int(row["redcap_repeat_instance"])) for row in records]
    assert len(set(keys)) == len(records) == len(sessions)
    assert all(number == 1 or (code, number - 1) in keys for code, number in keys)
    with zipfile.ZipFile(
        io.BytesIO(exports.make("trials", format="bids", identified=False)["trials_bids.zip"])
    ) as bids:
        runs = [bids.read(name).decode().splitlines() for name in bids.namelist() if "_run-" in name]
        roster = bids.read("participants.tsv").decode().splitlines()
        assert roster[0].split("\t") == exports.described["trials_bids.zip: participants.tsv"]
        assert set(runs[0][0].split("\t")) < set(exports.described["trials_bids.zip"])
        assert sum(len(run) - 1 for run in runs) == len(trials)
    guarded = exports.make("trials", guard=True)["trials.csv"]
    assert from_csv("trials", guarded)[1] == trials
    here = _command(database_url, tmp_path, "SRO", "--dataset", "trials", "--guard", "--identified")
    with zipfile.ZipFile(here["file"]) as archive:
        assert archive.read("trials.csv") == guarded
    wanted = Wanted(
        kind="export",
        study="SRO",
        sites=None,
        identified=True,
        request=ExportRequest(datasets=("trials",), guard=True).as_json(),
    )
    job = make_here(exports.engine, wanted, MAKER, tmp_path, lambda *_: None)
    assert job.path.read_bytes() == Path(here["file"]).read_bytes()
    assert _command(database_url, tmp_path, "SRO", "--dataset", "trials", "--dry-run") == {
        "trials": len(trials)
    }
    limma = _invoke(database_url, tmp_path, "SRO", "--site", "lima", "--site", "limma")
    assert (limma.exit_code, limma.stderr) == (
        1,
        "SRO does not run at limma, and has no sessions from there.\n",
    )
    with exports.engine.connect() as connection:
        _expect_counts(connection, exports)


def test_texts_that_a_spreadsheet_would_compute_are_guarded_by_postgres_as_by_python(
    exports: Exports,
) -> None:
    texts = ["=1", "\n=1", "\r+1", "\t-1", "＝1", "＠x", "''@x", "1=1", " =1", "'", "a\n=1"]
    with exports.engine.begin() as connection:
        rows = connection.execute(
            text("SELECT site, id FROM sessions WHERE source_missing_at IS NULL ORDER BY site, id")
        ).all()
        connection.execute(
            text("UPDATE sessions SET device_model = :value WHERE site = :site AND id = :id"),
            [
                {"value": texts[number % len(texts)], "site": site, "id": session}
                for number, (site, session) in enumerate(rows)
            ],
        )
    used = set(texts[: len(rows)])
    assert {"=1", "\n=1", "＝1"} <= used
    for guard, shown in ((False, used), (True, {guarded(each) for each in used})):
        content = exports.make("provenance", guard=guard)["provenance.csv"].decode()
        lines = csv.DictReader(io.StringIO(content, newline=""))
        assert {line["device_model"] for line in lines} == shown


EXTREME = (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e22, 2.0**53 + 2)


def exact(rows: list[list[Any]]) -> list[list[Any]]:
    """Numbers as their shortest text, in which NaN is itself and -0.0 is not 0.0."""
    return [[repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows]


def test_extreme_values_of_the_database_are_in_the_files_as_they_are(exports: Exports) -> None:
    with exports.engine.begin() as connection:
        scores = connection.execute(text("SELECT ctid FROM scores ORDER BY site, session_id, name")).scalars()
        connection.execute(
            text("UPDATE scores SET value = :value WHERE ctid = CAST(:row AS tid)"),
            [{"row": str(row), "value": each} for row, each in zip(scores, EXTREME, strict=False)],
        )
        connection.execute(
            text(
                "UPDATE sessions SET started_at = '0001-01-01 00:00:00Z', ended_at = '9999-12-31"
                " 23:59:59.999999Z', started_at_corrected = NULL, ended_at_corrected = NULL,"
                " device_model = '', device_os = NULL, app_version = E'\\\\.', battery_id = E'\n'"
            )
        )
    expected = exports.expected("scores_long")
    assert {repr(each) for each in EXTREME} <= {cell for row in exact(expected) for cell in row}
    files = exports.make("scores_long", "provenance", "sessions_wide")
    assert exact(from_csv("scores_long", files["scores_long.csv"])[1]) == exact(expected)
    assert b',"",,\\.,' in files["provenance.csv"]
    sessions = files["sessions_wide.csv"]
    assert from_csv("sessions_wide", sessions)[1] == exports.expected("sessions_wide")
    assert b"0001-01-01T00:00:00.000000Z" in sessions
    assert b"9999-12-31T23:59:59.999999Z" in sessions
    packed = exports.make("scores_long", format="parquet")["scores_long.parquet"]
    read = [list(row.values()) for row in pq.read_table(io.BytesIO(packed)).to_pylist()]
    assert exact(read) == exact(expected)


def test_export_that_nobody_wants_any_more_does_not_wait_for_its_first_row(
    exports: Exports, owner_database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(owner_database_url) as holding:
        holding.execute("LOCK TABLE trial_rows")
        released = threading.Event()

        def release() -> None:
            released.set()
            holding.rollback()

        much_later = threading.Timer(30, release)
        much_later.start()
        told = []

        def tell(done: int, _: int | None, stage: str) -> None:
            told.append((done, stage))
            raise Cancelled

        request = ExportRequest(datasets=("trials",)).as_json()
        wanted = Wanted(kind="export", study="SRO", sites=None, identified=False, request=request)
        with pytest.raises(Cancelled):
            make_here(exports.engine, wanted, MAKER, tmp_path, tell)
        assert not released.is_set()
        much_later.cancel()
    assert told == [(0, "trials")]


def _expect_counts(connection: Connection, exports: Exports) -> None:
    for name, dataset in DATASETS.items():
        counted = connection.scalar(count_rows(dataset, Audience.IDENTIFIED, ROWS))
        assert counted == len(exports.expected(name)), name


def _command(database_url: str, folder: Path, *arguments: str) -> dict[str, Any]:
    result = _invoke(database_url, folder, *arguments)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.strip().splitlines()[-1]))


def _invoke(database_url: str, folder: Path, *arguments: str) -> Result:
    given: Sequence[str] = ("export", *arguments, "--out", str(folder), "--json")
    env = {"DATABASE_URL": database_url, "REDIS_URL": "redis://nowhere", "DATA_DIR": str(folder)}
    return CliRunner().invoke(main, given, env=env)

"""Field sessions, projected and exported: what is read back is what the database has, in every format."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pyreadstat
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, text

from reporting.engine import sync_engine
from reporting.projection.pump import Pump
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import count_rows, typed_rows
from reporting.research.variables import Type
from sync_server.cli import main
from sync_server.exports.exporting import MAKER
from sync_server.exports.request import ExportRequest
from sync_server.research_files.making import CannotMake, Made, Wanted
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

    def make(
        self, *datasets: str, identified: bool = True, times: int = 1, **request: Any
    ) -> dict[str, bytes]:
        """The files in it, by name; made several times, the same bytes."""
        asked = ExportRequest(datasets=datasets, **request)  # type: ignore[arg-type]
        wanted = Wanted(
            kind="export", study="SRO", sites=None, identified=identified, request=asked.as_json()
        )
        contents = []
        told: list[tuple[int, int | None]] = []
        for turn in range(times):
            folder = self.folder / f"turn {turn}"
            folder.mkdir(exist_ok=True)
            told.clear()
            made: Made = make_here(
                self.engine, wanted, MAKER, folder, lambda done, total, _: told.append((done, total))
            )
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
    with exports.engine.connect() as connection:
        _expect_counts(connection, exports)


def test_chosen_columns_and_rows_that_meet_conditions_are_what_is_exported(
    exports: Exports, database_url: str, tmp_path: Path
) -> None:
    trials = DATASETS["trials"]
    at = {each.name: number for number, each in enumerate(trials.variables)}
    rows = [row for row in exports.expected("trials") if row[at["rt_ms"]] and row[at["rt_ms"]] >= 400]
    someone = rows[0][at["participant"]]
    asked: dict[str, Any] = {
        "columns": {"trials": ("rt_ms", "participant", "extra")},
        "where": ("rt_ms.gte=400", f"participant.in={someone},nobody", "from=2010-01-01"),
    }
    names = asked["columns"]["trials"]
    expected = [[row[at[name]] for name in names] for row in rows if row[at["participant"]] == someone]
    assert 0 < len(expected) < len(rows)
    files = exports.make("trials", "quality", times=2, columns=asked["columns"], where=asked["where"][1:])
    assert exports.described["trials.csv"] == list(names)
    assert files["trials.csv"].decode().splitlines()[0] == ",".join(names)
    assert len(exports.described["quality.csv"]) == len(DATASETS["quality"].variables)
    table = pq.read_table(io.BytesIO(exports.make("trials", format="parquet", **asked)["trials.parquet"]))
    assert [list(row.values()) for row in table.to_pylist()] == expected
    # De-identified, conditions are on what is shown.
    shown = [row[at["participant"]] for row in exports.expected("trials", Audience.DEIDENTIFIED)]
    pseudonym = shown[0]
    files = exports.make("trials", identified=False, where=(f"participant={pseudonym}",))
    assert len(from_csv("trials", files["trials.csv"])[1]) == shown.count(pseudonym)
    manifest = json.loads(files["manifest.json"])
    assert manifest["data"]["request"]["where"] == [f"participant={pseudonym}"]
    assert (
        from_csv("trials", exports.make("trials", identified=False, where=asked["where"])["trials.csv"])[1]
        == []
    )
    # Who is not in the trials is not in the roster beside them.
    files = exports.make("trials", format="bids", columns={"trials": ("rt_ms",)}, where=asked["where"])
    with zipfile.ZipFile(io.BytesIO(files["trials_bids.zip"])) as bids:
        assert len(bids.read("participants.tsv").splitlines()) == 2
        runs = [bids.read(name).decode().splitlines() for name in bids.namelist() if "_run-" in name]
    assert {run[0] for run in runs} == {"rt_ms"}
    assert sum(len(run) - 1 for run in runs) == len(expected)
    content = exports.make("sessions_wide", format="redcap", columns={"sessions_wide": ("visit",)})
    assert content["sessions_wide.csv"].startswith(
        b"record_id,redcap_repeat_instrument,redcap_repeat_instance,visit\r\n"
    )
    given = [f"--where={each}" for each in asked["where"]] + [f"--column={each}" for each in names]
    here = _command(database_url, tmp_path, "SRO", "--dataset=trials", "--identified", *given)
    with zipfile.ZipFile(here["file"]) as archive:
        assert archive.read("trials.csv") == exports.make("trials", **asked)["trials.csv"]
    assert _command(
        database_url, tmp_path, "SRO", "--dataset=trials", "--identified", "--dry-run", *given
    ) == {"trials": len(expected)}
    with exports.engine.begin() as connection:
        [recorded] = connection.scalars(text("SELECT after->'request' FROM audit_log"))
        assert recorded["where"] == ["from", "participant.in", "rt_ms.gte"]
        connection.execute(text("UPDATE research_policies SET dates = 'days'"))
    with pytest.raises(CannotMake, match="This study shows no dates"):
        exports.make("trials", identified=False, where=("from=2010-01-01",))
    said = CliRunner().invoke(
        main,
        ["export", "SRO", "--column=rt_ms"],
        env={"DATA_DIR": str(tmp_path), "DATABASE_URL": database_url},
    )
    assert (said.exit_code, "DATASET.COLUMN" in said.output) == (1, True)
    assert DATASETS["trials"].find("key_session") is None


def _expect_counts(connection: Connection, exports: Exports) -> None:
    for name, dataset in DATASETS.items():
        counted = connection.scalar(count_rows(dataset, Audience.IDENTIFIED, ROWS))
        assert counted == len(exports.expected(name)), name


def _command(database_url: str, folder: Path, *arguments: str) -> dict[str, Any]:
    given: Sequence[str] = ("export", *arguments, "--out", str(folder), "--json")
    env = {"DATABASE_URL": database_url, "REDIS_URL": "redis://nowhere", "DATA_DIR": str(folder)}
    result = CliRunner().invoke(main, given, env=env)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.strip().splitlines()[-1]))

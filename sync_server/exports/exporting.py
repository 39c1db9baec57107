"""The maker of exports: datasets of a study, in one zip.

    trials.csv …            a data file a dataset, of one snapshot
    codebook.csv .json .pdf what each column of each file is
    manifest.json           rows, bytes, hashes, notes; of which data; watermark

`csv` comes from COPY (`copied`); the other formats are written from rows (`formats`), a file at a time beside
the archive, and moved into it. The same request on the same data is the same bytes.

| what happens | what follows |
|---|---|
| a value that the format cannot hold | CannotMake, with row and column |
| a format's library is not installed here | CannotMake, with what to install |
| the study's policy was taken away meanwhile (redcap, bids) | CannotMake: rows have no code |
| conditions on what the study does not show by now | CannotMake |
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, cast

import msgspec
import psycopg
from sqlalchemy import Connection, Select

from reporting.compiled import compiled
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import Part, copy_csv, count_rows, csv_rows, typed_rows
from reporting.research.filters import NoSuchFilter
from reporting.research.policy import select_policy
from reporting.research.query import Question, prepare
from reporting.research.variables import Dataset
from reporting.steps import perform
from sync_server.exports.bids_export import write_bids_of
from sync_server.exports.codebook import Described, codebook_csv, codebook_json
from sync_server.exports.copied import write_copied
from sync_server.exports.dataset_tables import table_of
from sync_server.exports.described import Batch, CannotHold
from sync_server.exports.formats import FormatNotInstalled, writer_of
from sync_server.exports.manifest import manifest
from sync_server.exports.redcap_export import redcap_batches, redcap_select, redcap_table
from sync_server.exports.request import Asked, ExportRequest, asked_of
from sync_server.exports.whole_file import Written
from sync_server.exports.zipped import member, move_into, zip_of
from sync_server.research_files.making import CannotMake, Json, Made, Maker, Task, Wanted

LAYOUT: Final = 1
"""Grows when the same data are to be other bytes."""
ROWS_AT_ONCE: Final = 2_000

_LONG: Final = ("tables", "statements")
"""Versions that are not told in the manifest."""
_POLICY: Final = ("participants", "dates", "row_version")
"""What the manifest tells of the study's policy."""
_LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "excel": ("xlsxwriter",),
    "parquet": ("pyarrow",),
    "spss": ("polars", "pyreadstat"),
}


def versions(wanted: Wanted) -> Json:
    """What besides request and data decides the bytes: columns and their meaning, how they are read and
    de-identified, libraries, zlib.
    """
    request = read_request(wanted)
    tables = [
        table_of(DATASETS[name], request.language, identified=wanted.identified, chosen=asked.columns)
        for name, asked in _asked_of(request).items()
    ]
    scoring = {
        each.name: each.scoring_version
        for name in request.datasets
        for each in DATASETS[name].variables
        if each.scoring_version is not None
    }
    return {
        "layout": LAYOUT,
        "tables": msgspec.to_builtins(tables),
        "statements": _statements(wanted),
        "scoring": scoring,
        "libraries": {each: _version(each) for each in ("reportlab", *_LIBRARIES.get(request.format, ()))},
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def name(wanted: Wanted) -> str:
    """How the download is called."""
    request = read_request(wanted)
    named = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in wanted.study)
    return f"{named}-{request.format}{'-identified' if wanted.identified else ''}"


def make(task: Task) -> Made:
    """Write the zip. Raises CannotMake, what Postgres raises, OSError, Cancelled."""
    path = task.folder / "export.zip"
    try:
        with zip_of(path) as archive:
            rows = _Export(task, archive).write()
    except (CannotHold, FormatNotInstalled, ModuleNotFoundError, NoSuchFilter) as error:
        raise CannotMake(str(error)) from error
    return Made(path, "application/zip", rows)


MAKER: Final = Maker(make, versions, name)


def read_request(wanted: Wanted) -> ExportRequest:
    """The kind's own part of the request. Raises CannotMake where another release has written it."""
    try:
        return msgspec.convert(wanted.request, ExportRequest)
    except msgspec.ValidationError as error:
        raise CannotMake(f"This release does not know such an export: {error}.") from error


def parts_of(
    request: ExportRequest, audience: Audience, rows: Rows, connection: Connection
) -> dict[str, Part]:
    """Columns and rows of each dataset, with its pseudonyms and digests found out. Raises NoSuchFilter."""
    found = {}
    for name, asked in asked_of(request).items():
        question = Question(DATASETS[name], audience, rows, asked.filters)
        prepared = perform(connection, prepare(question)) if asked.filters else None
        found[name] = Part(asked.columns, prepared)
    return found


def _asked_of(request: ExportRequest) -> dict[str, Asked]:
    try:
        return asked_of(request)
    except NoSuchFilter as error:
        raise CannotMake(f"This release does not know such an export: {error}") from error


class _Export:
    """One zip, a dataset after the other."""

    def __init__(self, task: Task, archive: zipfile.ZipFile) -> None:
        self._task = task
        self._archive = archive
        self._wanted = task.wanted
        self._request = read_request(task.wanted)
        self._audience, self._rows = _read_as(task.wanted)
        self._datasets = [DATASETS[each] for each in self._request.as_json()["datasets"]]
        self._parts = parts_of(self._request, self._audience, self._rows, task.connection)
        self._expected: dict[str, int] = {}
        self._total: int | None = None
        self._behind = 0
        self._told = 0

    def write(self) -> int:
        """Everything; rows of data."""
        for each in self._datasets:
            counting = count_rows(each, self._audience, self._rows, self._parts[each.name])
            counted = self._task.connection.scalar(counting)
            self._expected[each.name] = counted or 0
        self._total = sum(self._expected.values())
        written, described = [], []
        for dataset in self._datasets:
            file, tables = self._write(dataset)
            self._behind += file.rows
            written.append(file)
            described += tables
        self._total = max(self._behind, self._told)
        self._tell(0, "codebook")
        from sync_server.exports.codebook_pdf import codebook_pdf  # noqa: PLC0415 (its library is heavy)

        title = f"{self._wanted.study}, {self._request.format}"
        language = self._request.language
        for name_, content in (
            ("codebook.csv", codebook_csv(described)),
            ("codebook.json", codebook_json(described)),
            ("codebook.pdf", codebook_pdf(described, title=title, language=language)),
            ("manifest.json", self._manifest(written)),
        ):
            with member(self._archive, name_) as file_:
                file_.write(content)
        return self._behind

    def _write(self, dataset: Dataset) -> tuple[Written, list[Described]]:
        part = self._parts[dataset.name]
        table = table_of(
            dataset, self._request.language, identified=self._wanted.identified, chosen=part.columns
        )
        beside: list[Described] = []
        match self._request.format:
            case "csv":
                written = self._copy(dataset, part)
                return written, [Described(written.name, table)]
            case "bids":
                source = self._task.connection, self._audience, self._rows, part
                written, roster = write_bids_of(
                    source, self._request.language, self._task.folder, self._batches, self._wanted.study
                )
                beside = [Described(f"{written.name}: participants.tsv", roster)]
            case "redcap":
                select = redcap_select(dataset, self._audience, self._rows, part)
                batches = redcap_batches(
                    self._batches(select, dataset.name), participant=table.position("participant")
                )
                table = redcap_table(table)
                written = writer_of("redcap")(table, batches, self._task.folder)
            case other:
                select = typed_rows(dataset, self._audience, self._rows, part)
                written = writer_of(other)(table, self._batches(select, dataset.name), self._task.folder)
        move_into(self._archive, self._task.folder / written.name)
        return written, [Described(written.name, table), *beside]

    def _copy(self, dataset: Dataset, part: Part) -> Written:
        driver = cast(psycopg.Connection[Any], self._task.connection.connection.driver_connection)
        select = csv_rows(dataset, self._audience, self._rows, part, guard=self._request.guard)
        name_ = f"{dataset.name}.csv"
        written = write_copied(
            driver, copy_csv(select), self._archive, name_, lambda rows: self._tell(rows, dataset.name)
        )
        if not self._request.guard:
            return written
        note = "Texts that a spreadsheet would compute begin with an apostrophe."
        return Written(written.name, written.rows, written.size, written.sha256, (note,))

    def _batches(self, select: Select[Any], stage: str) -> Iterator[Batch]:
        streamed = self._task.connection.execution_options(stream_results=True, max_row_buffer=ROWS_AT_ONCE)
        rows = 0
        with streamed.execute(select) as result:
            for batch in result.partitions(ROWS_AT_ONCE):
                self._tell(rows, stage)
                rows += len(batch)
                yield batch

    def _tell(self, rows: int, stage: str) -> None:
        # Lines may be counted for rows: no more than are expected, and never less than was told.
        rows = min(rows, self._expected.get(stage, 0))
        self._told = max(self._told, self._behind + rows)
        self._task.tell(self._told, self._total, stage)

    def _manifest(self, written: list[Written]) -> bytes:
        policy = self._task.connection.execute(select_policy(self._wanted.study)).one_or_none()
        data: Mapping[str, object] = {
            "study": self._wanted.study,
            "sites": None if self._wanted.sites is None else sorted(self._wanted.sites),
            "identified": self._wanted.identified,
            "policy": None if policy is None else {each: policy._mapping[each] for each in _POLICY},
            "request": self._request.as_json(),
            "versions": {name: told for name, told in versions(self._wanted).items() if name not in _LONG},
        }
        return manifest(written, data=data, watermark=self._task.watermark)


def _statements(wanted: Wanted) -> str:
    audience, rows = _read_as(wanted)
    texts = [compiled(typed_rows(dataset, audience, rows))[0] for dataset in DATASETS.values()]
    return sha256("\n".join(texts).encode()).hexdigest()


def _read_as(wanted: Wanted) -> tuple[Audience, Rows]:
    audience = Audience.IDENTIFIED if wanted.identified else Audience.DEIDENTIFIED
    return audience, Rows(wanted.study, wanted.sites)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

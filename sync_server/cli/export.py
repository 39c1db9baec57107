"""`sync-server export`: datasets of a study as a file, made here and now, without a job.

The same bytes as `/api/exports` makes of the same data. It reads one snapshot, so everything else goes on.

| what happens | what follows |
|---|---|
| it is interrupted, or cannot be made | nothing is left; what stood under the name still stands |
| the disk is full | a sentence, exit code 1 |
| `--identified` | codes and dates as they are; on the audit record, as every export |
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import msgspec
from sqlalchemy import Connection

from reporting.audit import record_entry
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import count_rows
from reporting.research.file_watermark import select_sites
from reporting.research.filters import NoSuchFilter
from reporting.research.policy import make_policy
from reporting.studies.rows import select_status
from sync_server.cli.made_file import made_here, make_file
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.exports.exporting import MAKER, parts_of
from sync_server.exports.request import (
    FORMATS,
    Asked,
    DoesNotGo,
    ExportRequest,
    Format,
    asked_of,
    check,
    on_record,
)
from sync_server.research_files.making import Wanted

KIND = "export"


@click.command()
@click.argument("study")
@click.option("--dataset", "datasets", multiple=True, type=click.Choice(list(DATASETS)), help="Repeatable.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
    help="Of the data files.",
)
@click.option("--out", type=click.Path(path_type=Path), default=".", help="File, or folder to put it in.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="Only this column, as DATASET.COLUMN (COLUMN, of a single dataset); may be repeated.",
)
@click.option(
    "--where",
    multiple=True,
    help="Only rows that meet it, as rt_ms.gte=200 or from=2016-07-01; may be repeated.",
)
@click.option("--site", "sites", multiple=True, help="Only this site; may be repeated.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", help="Of labels.")
@click.option("--guard", is_flag=True, help="CSV: an apostrophe before what a spreadsheet would compute.")
@click.option("--identified", is_flag=True, help="Codes and dates as they are.")
@click.option("--dry-run", is_flag=True, help="Only say how many rows there are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
def export(  # noqa: PLR0917 (as click calls it)
    study: str,
    datasets: tuple[str, ...],
    format_: Format,
    out: Path,
    columns: tuple[str, ...],
    where: tuple[str, ...],
    sites: tuple[str, ...],
    language: str,
    data_dir: Path | None,
    *,
    guard: bool,
    identified: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Export datasets of STUDY (all, unless --dataset says which) with codebook and manifest, in one zip."""
    given = {
        "datasets": datasets or tuple(DATASETS),
        "format": format_,
        "language": language,
        "guard": guard,
        "columns": _by_dataset(columns, datasets),
        "where": where,
    }
    try:
        request = msgspec.convert(given, ExportRequest)
        check(request)
    except NoSuchFilter as error:
        fail(_with_those_there_are(error))
    except (DoesNotGo, msgspec.ValidationError) as error:
        fail(f"{error}")
    wanted = Wanted(
        kind=KIND,
        study=study,
        sites=tuple(sorted(set(sites))) or None,
        identified=identified,
        request=request.as_json(),
    )
    database_url = target(data_dir).database_url
    with transaction(database_url) as connection:
        if connection.scalar(select_status(study)) is None:
            fail(f"There is no study {study}.")
        if unknown := sorted(set(sites) - set(connection.scalars(select_sites(study)))):
            fail(f"{study} does not run at {', '.join(unknown)}, and has no sessions from there.")
        if dry_run:
            _tell_rows(_rows(connection, wanted, request), asked_of(request), as_json=as_json)
            return
        connection.execute(make_policy(study))
        connection.execute(record_entry(made_here(wanted, "export", on_record(wanted.request))))
    place = out / f"{MAKER.name(wanted)}.zip" if out.is_dir() else out
    made, size, sha256 = make_file(database_url, wanted, MAKER, place)
    if as_json:
        told = {"file": str(place), "rows": made.rows, "size": size, "sha256": sha256}
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo(f"{place}: {made.rows} rows, {size} bytes, SHA-256 {sha256}")


def _by_dataset(columns: Iterable[str], datasets: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for given in columns:
        dataset, dot, column = given.rpartition(".")
        if not dot:
            if len(set(datasets)) != 1:
                fail(f"--column {given}: of several datasets, say of which: DATASET.COLUMN.")
            dataset = datasets[0]
        found.setdefault(dataset, []).append(column)
    return found


def _with_those_there_are(error: NoSuchFilter) -> str:
    columns = error.details.get("columns")
    return f"{error} There are: {', '.join(columns)}." if columns else str(error)


def _rows(connection: Connection, wanted: Wanted, request: ExportRequest) -> dict[str, int]:
    audience = Audience.IDENTIFIED if wanted.identified else Audience.DEIDENTIFIED
    rows = Rows(wanted.study, wanted.sites)
    try:
        parts = parts_of(request, audience, rows, connection)
    except NoSuchFilter as error:
        fail(str(error))
    return {
        name: connection.scalar(count_rows(DATASETS[name], audience, rows, part)) or 0
        for name, part in parts.items()
    }


def _tell_rows(rows: dict[str, int], asked: dict[str, Asked], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
        return
    for name, count in rows.items():
        click.echo(f"{name}: {count} rows, {len(asked[name].columns)} columns")

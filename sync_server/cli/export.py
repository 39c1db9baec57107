"""`sync-server export`: datasets of a study as a file, made here and now, without a job.

The same bytes as `/api/exports` makes of the same data. It reads one snapshot, so everything else goes on.

| what happens | what follows |
|---|---|
| it is interrupted, or cannot be made | nothing is left; what stood under the name still stands |
| the disk is full | a sentence, exit code 1 |
| `--identified` | codes and dates as they are; on the audit record, as every export |
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec
import sqlalchemy.exc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reporting.audit import AuditEntry, record_entry
from reporting.engine import sync_engine
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import count_rows
from reporting.studies.rows import select_status
from sync_server.cli.target import data_dir_option, fail, target, why
from sync_server.cli.transaction import transaction, why_unusable
from sync_server.exports.exporting import MAKER
from sync_server.exports.request import FORMATS, DoesNotGo, ExportRequest, Format, check
from sync_server.research_files.folder import digest, put
from sync_server.research_files.making import CannotMake, Made, Wanted
from sync_server.research_files.running import make_here

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
    given = {"datasets": datasets or tuple(DATASETS), "format": format_, "language": language, "guard": guard}
    try:
        request = msgspec.convert(given, ExportRequest)
        check(request)
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
        if dry_run:
            _tell_rows(_rows(connection, wanted), as_json=as_json)
            return
        connection.execute(record_entry(_entry(wanted)))
    place = out / f"{MAKER.name(wanted)}.zip" if out.is_dir() else out
    try:
        made, size, sha256 = _make(database_url, wanted, place)
    except CannotMake as error:
        fail(str(error))
    except OSError as error:
        fail(f"{place} cannot be written: {why(error)}.")
    except sqlalchemy.exc.DBAPIError as error:
        reason = why_unusable(error)
        if reason is None:
            raise
        fail(reason)
    if as_json:
        told = {"file": str(place), "rows": made.rows, "size": size, "sha256": sha256}
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo(f"{place}: {made.rows} rows, {size} bytes, SHA-256 {sha256}")


def _make(database_url: str, wanted: Wanted, place: Path) -> tuple[Made, int, str]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    engine = sync_engine(database_url, application_name="metricis-export")
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            reading = bar.add_task("reading", total=None)

            def tell(done: int, total: int | None, stage: str) -> None:
                bar.update(reading, completed=done, total=total, description=stage)

            made = make_here(engine, wanted, MAKER, folder, tell)
        size, sha256 = digest(made.path)
        put(made.path, place)
    finally:
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)
    return made, size, sha256


def _rows(connection: Any, wanted: Wanted) -> dict[str, int]:
    audience = Audience.IDENTIFIED if wanted.identified else Audience.DEIDENTIFIED
    rows = Rows(wanted.study, wanted.sites)
    return {
        name: connection.scalar(count_rows(DATASETS[name], audience, rows)) or 0
        for name in wanted.request["datasets"]
    }


def _tell_rows(rows: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
        return
    for name, count in rows.items():
        click.echo(f"{name}: {count} rows, {len(DATASETS[name].variables)} columns")


def _entry(wanted: Wanted) -> AuditEntry:
    return AuditEntry(
        actor="sync-server export",
        actor_kind="process",
        action="export.make",
        entity="study",
        entity_id=wanted.study,
        study=wanted.study,
        after={"sites": wanted.sites, "identified": wanted.identified, "request": dict(wanted.request)},
    )

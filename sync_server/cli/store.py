"""`sync-server store …`: the embedded store's files, while no system runs on them."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from replication.store.check import FileReport, check_directory
from replication.store.registry import DirectoryInUse
from sync_server.cli.target import fail
from sync_server.embedded.data_directory import DataDirectory

PROBLEMS_FOUND = 3
"""Exit code; 1 and 2 say that the check itself could not be made."""


@click.group()
def store() -> None:
    """The embedded store's files."""


@store.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DATA_DIR",
    required=True,
    show_envvar=True,
    help="The data directory; nothing may be running on it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def check(data_dir: Path, as_json: bool) -> None:
    """Verify every site database: pages, trees, content, attachments, sequences, counters.

    Reads everything and changes nothing. Exits with 0 when all is sound, with 3 when it is not.
    """
    directory = DataDirectory.at(data_dir).store
    try:
        reports = check_directory(directory)
    except DirectoryInUse as error:
        fail(str(error))
    except OSError as error:
        fail(f"{directory} cannot be read: {error.strerror or 'there is no store here'}.")
    sound = not any(report.problems for report in reports)
    if as_json:
        answer = {"directory": str(directory), "sound": sound, "databases": reports}
        click.echo(msgspec.json.encode(answer).decode())
    else:
        _print_table(reports)
    sys.exit(0 if sound else PROBLEMS_FOUND)


def _print_table(reports: Sequence[FileReport]) -> None:
    rows: list[tuple[str, ...]] = [("database", "documents", "leaves", "attachments", "unused", "problems")]
    rows += [
        (
            report.database or report.file,
            *map(str, (report.documents, report.leaves, report.attachments, report.unused)),
            str(len(report.problems)) if report.problems else "none",
        )
        for report in reports
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        click.echo("  ".join([name.ljust(widths[0]), *cells]))
    for report in reports:
        for problem in report.problems:
            click.echo(f"{report.database or report.file}: {problem}")

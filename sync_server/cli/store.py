"""`sync-server store …`: the embedded store's files: verifying them, copying them, putting a copy back."""

import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from replication.store.backup import BackupRefused, Manifest, back_up, read_manifest
from replication.store.backup import restore as put_back
from replication.store.check import FileReport, check_directory
from replication.store.registry import SUFFIX, DirectoryInUse
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


@store.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DATA_DIR",
    required=True,
    show_envvar=True,
    help="The data directory; its system may be running.",
)
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
@click.argument("target", type=click.Path(path_type=Path), required=False)
def backup(data_dir: Path, as_json: bool, target: Path | None) -> None:
    """Copy every site database to the directory TARGET, while the system serves.

    Each copy shows one moment, is read back whole and is on disk when this ends. Without TARGET the backup
    goes to a new directory `backup-<time>` here. Nothing is ever overwritten.
    """
    directory = DataDirectory.at(data_dir).store
    goal = target or Path(time.strftime("backup-%Y%m%dT%H%M%SZ", time.gmtime()))
    try:
        with click.progressbar(length=_size(directory), label="Copying", file=sys.stderr) as bar:
            done: dict[str, int] = {}

            def tell(name: str, copied: int, total: int) -> None:
                share = copied * _file_size(directory, name) // max(total, 1)
                bar.update(share - done.get(name, 0))
                done[name] = share

            manifest = back_up(directory, goal, tell=tell)
    except BackupRefused as error:
        fail(str(error))
    except OSError as error:
        fail(f"the backup to {goal} failed: {error.strerror or error}; nothing was kept under that name.")
    _print_manifest(manifest, goal, as_json=as_json)


@store.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DATA_DIR",
    required=True,
    show_envvar=True,
    help="The data directory; nothing may be running on it, and its store must be empty.",
)
@click.option("--dry-run", is_flag=True, help="Verify the backup and tell what would be put back.")
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
def restore(data_dir: Path, dry_run: bool, as_json: bool, source: Path) -> None:
    """Put the backup in the directory SOURCE into an empty store.

    Every file is compared with its checksum first. Clients notice: tablets compare from the start and send
    again what the backup does not hold.
    """
    directory = DataDirectory.at(data_dir).store
    try:
        if dry_run:
            manifest = read_manifest(source)
        else:
            manifest = put_back(source, directory, new_uuid=lambda: uuid.uuid4().hex)
    except (BackupRefused, DirectoryInUse) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{source} cannot be put back: {error.strerror or error}.")
    _print_manifest(manifest, directory, as_json=as_json)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob(f"*{SUFFIX}"))


def _file_size(directory: Path, name: str) -> int:
    path = directory / f"{name.encode().hex()}{SUFFIX}"
    return path.stat().st_size if path.exists() else 0


def _print_manifest(manifest: Manifest, place: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(manifest).decode())
        return
    for one in manifest.databases:
        click.echo(f"{one.name}: {one.documents} documents, {one.bytes} bytes, sequence {one.update_seq}")
    click.echo(f"{len(manifest.databases)} databases: {place}")


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

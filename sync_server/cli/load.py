"""`sync-server load`: push files of documents as a tablet would."""

import asyncio
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import aiohttp
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from replication.client import CouchClient
from replication.errors import BadRequest, CouchError
from replication.push import BATCH_DOCUMENTS, Outgoing, batches, outgoing, push_batch
from sync_server.cli.target import fail

SHOWN_PROBLEMS = 20


class Problem(NamedTuple):
    """A document that is not in the database, and why."""

    where: str
    reason: str


class Summary(msgspec.Struct):
    """What a load did."""

    documents: int = 0
    stored: int = 0
    known: int = 0
    refused: int = 0
    unreadable: int = 0


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--url", required=True, help="The site database, as `devices enrol` prints it.")
@click.option("--user", required=True, help="The device.")
@click.option("--password", required=True, help="Its credential.")
@click.option(
    "--batch",
    type=click.IntRange(1, 1000),
    default=BATCH_DOCUMENTS,
    show_default=True,
    help="Documents a request.",
)
@click.option(
    "--dry-run", is_flag=True, help="Read the files and tell what is wrong with them; send nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary and every problem as JSON.")
def load(
    files: tuple[Path, ...], url: str, user: str, password: str, batch: int, *, dry_run: bool, as_json: bool
) -> None:
    """Push the documents in FILES (NDJSON, .gz or not) into a site database.

    Running it again goes on where it stopped: what is there is not sent twice. Exit code 1 when a document
    was refused or could not be read.
    """
    summary = Summary()
    problems: list[Problem] = []
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("counting", total=None)
        total = sum(1 for path in files for _ in _lines(path))
        progress.update(task, total=total, description="reading" if dry_run else "pushing")
        try:
            asyncio.run(
                _load(
                    _documents(files, summary, problems),
                    _Destination(url, user, password, batch, dry_run),
                    summary,
                    problems,
                    lambda done: progress.update(task, completed=done),
                )
            )
        except CouchError as error:
            fail(f"Stopped after {summary.stored + summary.known} documents: {error.error}: {error.reason}")
    _report(summary, problems, as_json=as_json, dry_run=dry_run)
    if problems:
        raise SystemExit(1)


class _Destination(NamedTuple):
    url: str
    user: str
    password: str
    batch: int
    dry_run: bool


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # GzipFile reads like one


def _documents(files: tuple[Path, ...], summary: Summary, problems: list[Problem]) -> Iterator[Outgoing]:
    for path in files:
        try:
            for number, line in _lines(path):
                summary.documents += 1
                try:
                    yield outgoing(line)
                except BadRequest as error:
                    summary.unreadable += 1
                    problems.append(Problem(f"{path.name}:{number}", error.reason))
        except (gzip.BadGzipFile, EOFError) as error:
            summary.unreadable += 1
            problems.append(Problem(path.name, f"not a whole gzip file: {error}"))


async def _load(
    documents: Iterator[Outgoing],
    to: _Destination,
    summary: Summary,
    problems: list[Problem],
    tell: Callable[[int], None],
) -> None:
    base, _, database = to.url.rstrip("/").rpartition("/")
    header = aiohttp.BasicAuth(to.user, to.password).encode()
    timeout = aiohttp.ClientTimeout(total=300, connect=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        client = CouchClient(session, base, headers=lambda: {"Authorization": header})
        for batch in batches(documents, count=to.batch):
            if not to.dry_run:
                pushed = await push_batch(client, database, batch)
                summary.stored += len(pushed.stored)
                summary.known += len(pushed.known)
                summary.refused += len(pushed.refused)
                problems += [Problem(row.id, f"{row.error}: {row.reason}") for row in pushed.refused]
            tell(summary.documents)


def _report(summary: Summary, problems: list[Problem], *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        listed = [{"where": problem.where, "reason": problem.reason} for problem in problems]
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(summary), "problems": listed}))
        return
    for problem in problems[:SHOWN_PROBLEMS]:
        click.echo(f"{problem.where}: {problem.reason}", err=True)
    if len(problems) > SHOWN_PROBLEMS:
        click.echo(f"… and {len(problems) - SHOWN_PROBLEMS} more; --json lists all.", err=True)
    if dry_run:
        click.echo(f"{summary.documents} documents read, {summary.unreadable} unreadable; nothing was sent.")
    else:
        click.echo(
            f"{summary.documents} documents: {summary.stored} stored, {summary.known} there already, "
            f"{summary.refused} refused, {summary.unreadable} unreadable."
        )

"""`sync-server load`: push files of documents as a tablet would.

what happens                             what follows
-------------------------------------    ------------------------------------------------------------
wrong URL, login or nobody listening     a sentence at once, before the files are read
a line is no document                    told with file and line; the others are pushed
a gzip file that ends early              told; the documents before its end are pushed
a document is refused                    told with the reason; the others are pushed
the server goes away meanwhile           each batch is tried again for a while; then a sentence, and what
                                         was refused until then
interrupted, or run again                what is there is not sent twice
"""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import aiohttp
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from replication.client import CouchClient, basic_login
from replication.errors import BadRequest, CouchError
from replication.push import BATCH_DOCUMENTS, Outgoing, batches, outgoing, push_batch
from sync_server.cli.target import fail

SHOWN_PROBLEMS = 20
PASSWORD_VARIABLE = "SYNC_PASSWORD"  # noqa: S105 (its name)

_DAMAGED = (OSError, EOFError, zlib.error)
"""What reading a file may raise; a gzip file that is none, or is cut, raises one of these too."""


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


class Destination(NamedTuple):
    """A database and who pushes into it. `base` is the URL that the database's name follows."""

    base: str
    database: str
    user: str
    password: str


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--url", help="The site database, as `devices enrol` prints it.")
@click.option("--user", help="The device; not needed where the URL has the login inside.")
@click.option(
    "--password",
    envvar=PASSWORD_VARIABLE,
    show_envvar=True,
    help="Its credential; asked for when not given. Everybody on this machine can read an option.",
)
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
    files: tuple[Path, ...],
    url: str | None,
    user: str | None,
    password: str | None,
    batch: int,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push the documents in FILES (NDJSON, .gz or not) into a site database.

    Running it again goes on where it stopped: what is there is not sent twice. Exit code 1 when a document
    was refused or could not be read.
    """
    destination = None if dry_run else _destination(url, user, password)
    summary = Summary()
    problems: list[Problem] = []
    stopped: CouchError | None = None
    try:
        asyncio.run(_load(files, destination, batch, summary, problems))
    except CouchError as error:
        stopped = error
    _report(summary, problems, as_json=as_json, dry_run=dry_run)
    if stopped is not None:
        fail(
            f"Stopped after {summary.stored + summary.known} documents: {stopped.error}: {stopped.reason}\n"
            "Run it again to go on."
        )
    if problems:
        raise SystemExit(1)


def _destination(url: str | None, user: str | None, password: str | None) -> Destination:
    """Where to push, and as whom; asks for the password that was not given. Raises click.UsageError."""
    if url is None:
        raise click.UsageError("Missing option '--url'.")
    parts = urlsplit(url)
    base, _, database = parts.path.rstrip("/").rpartition("/")
    if not (_is_http(parts) and database):
        raise click.BadParameter(
            "it has to be the URL of a database, as http://host:port/db/site-name", param_hint="--url"
        )
    user = user or (unquote(parts.username) if parts.username else None)
    if user is None:
        raise click.UsageError("Missing option '--user'.")
    if ":" in user:
        raise click.BadParameter("no device is called so", param_hint="--user")
    password = password or (unquote(parts.password) if parts.password else None)
    if password is None:
        password = str(click.prompt("Password", hide_input=True, err=True))
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=base, query="", fragment="")
    return Destination(urlunsplit(address), unquote(database), user, password.strip())


def _is_http(parts: SplitResult) -> bool:
    try:
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


async def _load(
    files: tuple[Path, ...],
    to: Destination | None,
    batch_documents: int,
    summary: Summary,
    problems: list[Problem],
) -> None:
    """Push, or without a destination read, the files; `summary` and `problems` are filled meanwhile."""
    if to is None:
        with _progress(files, "reading") as tell:
            for _ in _documents(files, summary, problems):
                tell(summary.documents)
        return
    timeout = aiohttp.ClientTimeout(total=300, connect=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        client = CouchClient(session, to.base, headers=basic_login(to.user, to.password))
        # What is wrong now is wrong for every batch, and need not be tried again.
        await client.info(to.database)
        with _progress(files, "pushing") as tell:
            for batch in batches(_documents(files, summary, problems), count=batch_documents):
                pushed = await push_batch(client, to.database, batch)
                summary.stored += len(pushed.stored)
                summary.known += len(pushed.known)
                summary.refused += len(pushed.refused)
                problems += [Problem(row.id, f"{row.error}: {row.reason}") for row in pushed.refused]
                tell(summary.documents)


@contextmanager
def _progress(files: tuple[Path, ...], what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, silent elsewhere; what it gives is told how many documents are done."""
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
        total = sum(map(_count, files)) if console.is_terminal else None
        progress.update(task, total=total, description=what)
        yield lambda done: progress.update(task, completed=done)


def _count(path: Path) -> int:
    count = 0
    with suppress(*_DAMAGED):
        for _ in _lines(path):
            count += 1
    return count


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
        except _DAMAGED as error:
            summary.unreadable += 1
            problems.append(Problem(path.name, f"cannot be read to its end: {error}"))


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

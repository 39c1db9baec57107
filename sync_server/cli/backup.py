"""`sync-server backup`: site databases and Postgres into a set of files; looking at a set, verifying one."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import click
import msgspec
import psycopg
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from replication.dump.lines import DumpDamaged
from replication.dump.place import Place
from replication.dump.writing import DatabaseChanged
from replication.errors import CouchError
from reporting.sites import InvalidSiteName
from sync_server.backup import making
from sync_server.backup.checking import check_set
from sync_server.backup.making import Source, Wanted, make_backup
from sync_server.backup.manifest import Manifest, Run, UnusableSet, read_manifest
from sync_server.backup.postgres import PostgresFailed
from sync_server.cli.postgres_options import owner_url_option, program_option
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.record import running_system
from sync_server.identity.signing_key_file import UnusableSigningKey, load_or_create_signing_key
from sync_server.key_file import ReadableByOthers
from sync_server.sealing import UnusableKey
from sync_server.settings import SettingsError, read_settings
from sync_server.store_client import store_login

DAMAGED = 3
"""Exit code; 1 and 2 say that the set could not be looked at."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
"""A document may take long to arrive; a server that is silent for two minutes is away."""

FAILURES = (
    UnusableSet, PostgresFailed, CouchError, DumpDamaged, DatabaseChanged, EmbeddedError, SettingsError,
    UnusableSigningKey, UnusableKey, ReadableByOthers, InvalidSiteName,
)  # fmt: skip
"""Whose messages are for the person who typed the command."""

NO_KEYS = (
    "The set holds no keys. Keep a copy of {keys} (and of DATA_ENCRYPTION_KEYS, if it is set) elsewhere: "
    "without the signing key all tablets have to be enrolled again, without the encryption key contacts "
    "cannot be opened. --with-keys puts them into the set."
)
WITH_KEYS = (
    "The set holds the deployment's keys: whoever has it can read the contacts in it and act as any tablet. "
    "Keep it as you keep the keys."
)


class Given(NamedTuple):
    """Options about Postgres."""

    postgres: bool
    owner_url: str | None
    pg_dump: Path | None


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--site", "sites", multiple=True, help="Only this site; may be repeated.")
@click.option(
    "--incremental", is_flag=True, help="Add to the set in DIRECTORY what changed since its last run."
)
@click.option("--no-postgres", is_flag=True, help="Site databases only.")
@click.option("--with-keys", is_flag=True, help="Put the keys of the data directory into the set too.")
@click.option("--winners", is_flag=True, help="Beside it, winning revisions for CouchDB-Python's tools.")
@click.option("--check", is_flag=True, help="Verify the set in DIRECTORY; no server is needed.")
@click.option("--list", "list_runs", is_flag=True, help="Show the runs of the set in DIRECTORY.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@owner_url_option("owns the tables; without it, the system's own.")
@program_option("pg_dump")
@data_dir_option
def backup(
    directory: Path,
    sites: tuple[str, ...],
    owner_url: str | None,
    pg_dump: Path | None,
    data_dir: Path | None,
    *,
    incremental: bool,
    no_postgres: bool,
    with_keys: bool,
    winners: bool,
    check: bool,
    list_runs: bool,
    as_json: bool,
) -> None:
    """Back up every site database and Postgres to DIRECTORY, while everything serves.

    Every file is read back before the set counts as made. Nothing in a set is ever overwritten. With --check
    it exits with 3 when a file is not what was written.
    """
    try:
        if check or list_runs:
            _look(directory, check=check, as_json=as_json)
            return
        wanted = Wanted(sites, incremental, with_keys, winners)
        with progress() as tell:
            manifest = asyncio.run(
                _make(directory, wanted, tell, data_dir, Given(not no_postgres, owner_url, pg_dump))
            )
    except FAILURES as error:
        fail(f"Nothing was backed up: {error}")
    except psycopg.Error as error:
        fail(f"Nothing was backed up: Postgres failed: {error}")
    except OSError as error:
        fail(f"Nothing was backed up: {error.filename or directory}: {error.strerror or error}.")
    run = manifest.runs[-1]
    if as_json:
        click.echo(msgspec.json.encode(run).decode())
    else:
        _print_run(run)
        click.echo(f"Run {run.number} of the set in {directory} is complete and verified.")
    # Loud, also where the answer is JSON.
    keys = (data_dir or target(data_dir).data_dir) / "keys"
    click.echo(WITH_KEYS if with_keys else NO_KEYS.format(keys=keys), err=True)


async def _make(
    directory: Path,
    wanted: Wanted,
    tell: making.Progress,
    data_dir: Path | None,
    given: Given,
) -> Manifest:
    where = target(data_dir)
    key = load_or_create_signing_key(where.data_dir)
    encryption_keys = tuple(
        part.strip() for part in os.environ.get("DATA_ENCRYPTION_KEYS", "").split(",") if part.strip()
    )
    url: str | None = None
    if given.postgres:
        own = running_system(data_dir).owner_url if data_dir is not None else where.database_url
        url = given.owner_url or own
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        login = store_login(where.feed_url, key, service="backup")
        place = Place(session, login.base, login.headers)
        source = Source(place, where.data_dir, encryption_keys, url, given.pg_dump)
        return await make_backup(source, directory, wanted, tell)


def _look(directory: Path, *, check: bool, as_json: bool) -> None:
    manifest = read_manifest(directory)
    problems: list[str] = []
    if check:
        problems = check_set(directory, manifest, tell=lambda file: click.echo(f"Reading {file}", err=True))
    if as_json:
        told = {"sound": not problems, "problems": problems} if check else {}
        click.echo(msgspec.json.encode({**told, "set": manifest}).decode())
    else:
        for run in manifest.runs:
            _print_run(run)
        for problem in problems:
            click.echo(problem)
        if check and not problems:
            click.echo(f"{len(manifest.runs)} runs: sound.")
    sys.exit(DAMAGED if problems else 0)


def _print_run(run: Run) -> None:
    click.echo(f"run {run.number}  {run.started} to {run.finished}{'  with keys' if run.keys else ''}")
    for file in run.databases:
        counts = file.written.counts
        kind = "base" if file.base else "increment"
        click.echo(
            f"  {file.database}  {kind}: {file.documents} documents, {counts.leaves} leaves, "
            f"{decimal(file.written.bytes)}"
        )
        if file.why:
            click.echo(f"    {file.why}")
    for gone in run.gone:
        click.echo(f"  {gone}  gone: the server has it no more")
    if run.postgres is not None:
        click.echo(f"  Postgres  {decimal(run.postgres.file.bytes)}, schema {run.postgres.schema}")


@contextmanager
def progress() -> Iterator[making.Progress]:
    """Bars on standard error: documents and bytes of each part."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        parts: dict[str, TaskID] = {}

        def tell(part: str, done: int | None, total: int | None, size: int) -> None:
            if part not in parts:
                parts[part] = bar.add_task(part, total=None, told="")
            documents = "" if done is None else f"{done} of {total} documents, "
            bar.update(parts[part], completed=done or 0, total=total, told=f"{documents}{decimal(size)}")

        yield tell


def settings_of_environment() -> tuple[str, str | None, Path, tuple[str, ...]]:
    """Postgres, the store outside of this machine or None, the data directory, encryption keys. Raises
    SettingsError.
    """
    settings = read_settings(os.environ)
    store = settings.store_url or settings.couchdb_url
    return settings.database_url, store, settings.data_dir, settings.data_encryption_keys

"""`sync-server participants`: the roster from and to files, and carrying out erasures.

| what happens | what follows |
|---|---|
| the file is no table, the study unknown, Postgres away | a sentence, exit code 1, nothing is done |
| rows are not taken | each is told; nothing is done without `--skip`; exit code 1 |
| interrupted | nothing is done: an import is one transaction; an erasure goes on when it is run again |
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click
import msgspec
import sqlalchemy.exc
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from replication.errors import CouchError
from reporting.audit import AuditEntry, record_entry
from reporting.engine import async_engine
from reporting.erasure.blocked import select_subjects
from reporting.erasure.execution import Busy, NotConfirmed, run_erasure
from reporting.erasure.names import subject_text
from reporting.erasure.requests import Erasure
from reporting.participants.changing import CreatedMeanwhile, RecordTaken
from reporting.participants.exporting import export_lines
from reporting.participants.fates import Report
from reporting.participants.importing import Import, import_participants
from reporting.participants.table_file import CannotRead
from reporting.scope import EVERYTHING
from reporting.tables import studies
from sync_server.cli.target import Target, data_dir_option, fail, target
from sync_server.cli.transaction import why_unusable
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.key_file import ReadableByOthers
from sync_server.sealing import CannotOpen, Sealer, UnusableKey, load_sealer
from sync_server.site_erasing import CouchSiteStore
from sync_server.store_client import store_client

_WHO = "sync-server participants"
_SHOWN = 50


@click.group()
def participants() -> None:
    """The rosters of studies."""


@participants.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--study", required=True, help="Code of the study.")
@click.option("--dry-run", is_flag=True, help="Tell every row's fate and change nothing.")
@click.option("--skip", is_flag=True, help="Take the rows that can be taken although others cannot.")
@click.option("--reason", help="On record with every row; withdrawals need one.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@data_dir_option
def import_command(
    file: Path,
    study: str,
    reason: str | None,
    data_dir: Path | None,
    *,
    dry_run: bool,
    skip: bool,
    as_json: bool,
) -> None:
    """Import participants from a CSV FILE: code, site, status, language, enrolled_on, redcap_id, contact_….

    All rows are taken or none. Exit code 1 when rows were not taken.
    """
    where = target(data_dir)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"{file.name} is not UTF-8: see byte {error.start}.")
    with _progress("Importing"):
        told = _run(_import(where, study, text, reason, dry_run=dry_run, skip=skip))
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        _print(told)
    if told.counts["refused"] or told.counts["duplicate"]:
        sys.exit(1)


@participants.command("export")
@click.option("--study", required=True, help="Code of the study.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True, help="Of it."
)
@click.option("--contact", is_flag=True, help="With the contacts; this is on record.")
@data_dir_option
def export_command(study: str, kind: Any, data_dir: Path | None, *, contact: bool) -> None:
    """Print the roster of a study."""
    _run(_export(target(data_dir), study, kind, contact=contact))


@participants.command("erase")
@click.option("--run", "number", type=click.IntRange(1), required=True, help="Id of a confirmed erasure.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
def erase_command(number: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Carry out a confirmed erasure, or go on with one that was interrupted."""
    with _progress("Erasing"):
        done = _run(_erase(target(data_dir), number))
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    click.echo(f"Erasure {done.id} is {done.state}.")
    for name, count in (done.counts or {}).items():
        click.echo(f"{name:<24} {count}")


async def _import(
    where: Target, study: str, text: str, reason: str | None, *, dry_run: bool, skip: bool
) -> Report:
    sealer = _sealer(where)
    async with _connection(where) as connection:
        await _require_study(connection, study)
        erased = set((await connection.execute(select_subjects())).scalars())
        wanted = Import(
            study=study,
            text=text,
            reason=reason,
            dry_run=dry_run,
            skip=skip,
            may_write=lambda _: True,
            is_erased=lambda code: not erased.isdisjoint(sealer.fingerprints(subject_text(study, code))),
            seal=sealer.seal,
            unseal=sealer.open,
        )

        def entry(**about: Any) -> AuditEntry:
            return AuditEntry(actor=_WHO, actor_kind="process", entity="participant", reason=reason, **about)

        told = await import_participants(connection, wanted, entry)
        if told.complete and not dry_run:
            await connection.execute(
                record_entry(_act("participants.import", study, after=dict(told.counts), reason=reason))
            )
            await connection.commit()
        return told


async def _export(where: Target, study: str, kind: Any, *, contact: bool) -> None:
    unseal = _sealer(where).open if contact else None
    async with _connection(where) as connection:
        await _require_study(connection, study)
        about = {"format": kind, "contact": contact}
        await connection.execute(record_entry(_act("participants.export", study, after=about)))
        await connection.commit()
        async for piece in export_lines(connection, study, EVERYTHING, kind, unseal):
            # As the file has it: no other ends of lines.
            sys.stdout.buffer.write(piece.encode())
        sys.stdout.buffer.flush()


async def _erase(where: Target, number: int) -> Erasure:
    key = load_or_create_signing_key(where.data_dir)
    sealer = _sealer(where)
    engine = async_engine(where.database_url)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600, connect=10)) as session:
            client = store_client(session, where.purging_url or where.feed_url, key, service="erasure")
            return await run_erasure(engine, CouchSiteStore(client), sealer.fingerprints, number)
    finally:
        await engine.dispose()


def _act(action: str, study: str, **about: Any) -> AuditEntry:
    return AuditEntry(
        actor=_WHO,
        actor_kind="process",
        action=action,
        entity="study",
        entity_id=study,
        study=study,
        **about,
    )


@asynccontextmanager
async def _connection(where: Target) -> AsyncIterator[AsyncConnection]:
    engine = async_engine(where.database_url)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _require_study(connection: AsyncConnection, study: str) -> None:
    found = await connection.execute(select(studies.c.code).where(studies.c.code == study))
    if found.first() is None:
        fail(f"There is no study {study}.")


def _sealer(where: Target) -> Sealer:
    given = os.environ.get("DATA_ENCRYPTION_KEYS", "")
    return load_sealer(tuple(key.strip() for key in given.split(",") if key.strip()), where.data_dir)


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except (CannotRead, CreatedMeanwhile, RecordTaken, CannotOpen, UnusableKey, ReadableByOthers) as error:
        fail(str(error))
    except (NotConfirmed, Busy) as error:
        fail(str(error))
    except CouchError as error:
        fail(f"The site databases do not answer: {error.reason}")
    except sqlalchemy.exc.DBAPIError as error:
        reason = why_unusable(error)
        if reason is None:
            raise
        fail(reason)


def _progress(what: str) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar.add_task(what, total=None)
    return bar


def _print(told: Report) -> None:
    troubled = [row for row in told.rows if row.outcome in ("refused", "duplicate")]
    if troubled:
        table = Table("line", "code", "fate", "column", "reason", box=None)
        for row in troubled[:_SHOWN]:
            table.add_row(str(row.line), row.code, row.outcome, row.column or "", row.reason or "")
        Console(width=160, highlight=False, markup=False).print(table)
        if len(troubled) > _SHOWN:
            click.echo(f"… and {len(troubled) - _SHOWN} more; --json lists all.")
    counted = ", ".join(f"{count} {outcome}" for outcome, count in told.counts.items())
    if told.dry_run:
        click.echo(f"Would be: {counted}. Nothing was changed.")
    elif told.complete:
        click.echo(f"{counted}.")
    else:
        click.echo(f"{counted}. Nothing was changed; --skip takes the others.")

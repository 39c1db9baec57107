"""`sync-server restore`: a backup set into an empty deployment."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import click
import msgspec
import psycopg
from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError

from replication.dump.place import Place
from replication.store.registry import SUFFIX, DirectoryInUse
from reporting.engine import sqlalchemy_url
from sync_server.backup import making
from sync_server.backup.keys import WrongKeys
from sync_server.backup.manifest import read_manifest, up_to
from sync_server.backup.private_store import private_store
from sync_server.backup.restoring import (
    InUse,
    NotEmpty,
    Plan,
    RestoredDatabase,
    Target,
    begun,
    plan_restore,
    restore_set,
)
from sync_server.cli.backup import FAILURES, TIMEOUT, progress, settings_of_environment
from sync_server.cli.migrate import grant
from sync_server.cli.postgres_options import owner_url_option, program_option
from sync_server.cli.target import fail
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.postgres import APP
from sync_server.embedded.system import EmbeddedSystem
from sync_server.identity.device_credentials import SigningKey
from sync_server.identity.signing_key_file import load_or_create_signing_key, signing_key_path
from sync_server.logs import configure_logging
from sync_server.store_client import store_login

INCOMPLETE = 3
"""Exit code: something of the set is not there."""


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data directory of the deployment, new or empty; nothing may run on it. Without it, the settings in "
    "the environment.",
)
@click.option("--site", "sites", multiple=True, help="Only this site's database; may be repeated.")
@click.option("--run", type=click.IntRange(1), help="As it was after this run; without it, the last one.")
@click.option("--dry-run", is_flag=True, help="Verify the set and tell what would be restored.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--new-keys", is_flag=True, help="Go on without the keys of the set, or with others.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@owner_url_option("is to own the tables; without it, DATABASE_URL.")
@program_option("pg_restore")
def restore(  # noqa: PLR0917 (click gives each by its name)
    directory: Path,
    data_dir: Path | None,
    sites: tuple[str, ...],
    run: int | None,
    owner_url: str | None,
    pg_restore: Path | None,
    *,
    dry_run: bool,
    yes: bool,
    new_keys: bool,
    as_json: bool,
) -> None:
    """Fill an empty deployment from the set in DIRECTORY, with every revision of every document.

    The set is verified before anything is written, and the databases are compared with it afterwards. One
    that was interrupted goes on. Exits with 3 when something of the set could not be restored.
    """
    try:
        plan = plan_restore(directory, up_to(read_manifest(directory), run), sites)
        _tell_plan(plan)
        if dry_run:
            return
        if not yes:
            click.confirm("Restore?", abort=True, err=True)
        with progress() as tell:
            restored = asyncio.run(_restore(plan, tell, data_dir, owner_url, pg_restore, new_keys=new_keys))
    except (*FAILURES, InUse, NotEmpty, WrongKeys, DirectoryInUse) as error:
        fail(f"Not restored: {error}")
    except (psycopg.Error, SQLAlchemyError, CommandError) as error:
        fail(f"Not restored: Postgres failed: {error}")
    except OSError as error:
        fail(f"Not restored: {error.filename or directory}: {error.strerror or error}.")
    whole = all(each.is_whole for each in restored)
    if as_json:
        click.echo(msgspec.json.encode({"complete": whole, "databases": restored}).decode())
    else:
        _print(restored, whole=whole)
    sys.exit(0 if whole else INCOMPLETE)


async def _restore(
    plan: Plan,
    tell: making.Progress,
    data_dir: Path | None,
    owner_url: str | None,
    pg_restore: Path | None,
    *,
    new_keys: bool,
) -> list[RestoredDatabase]:
    opened = _settings(owner_url) if data_dir is None else _embedded(plan, data_dir)
    async with opened as target:
        return await restore_set(plan, target._replace(pg_restore=pg_restore), tell, new_keys=new_keys)


@asynccontextmanager
async def _embedded(plan: Plan, data_dir: Path) -> AsyncIterator[Target]:
    """The deployment of a data directory: its Postgres is started for this, its service is not. With
    COUCHDB_URL that CouchDB holds its site databases.
    """
    couchdb = os.environ.get("COUCHDB_URL") or None
    if couchdb is None and not begun(plan, data_dir):
        held = sorted(DataDirectory.at(data_dir).store.glob(f"*{SUFFIX}*"))
        if held:
            # Told before anything is started.
            raise NotEmpty(
                f"The deployment is not empty: {held[0].parent} holds databases. Move it away first."
            )
    configure_logging("WARNING", process="restore")
    async with EmbeddedSystem(data_dir) as system:
        root = system.directory.root
        async with _store(couchdb, root) as place:
            yield Target(place, root, _encryption_keys(), system.owner_url, APP, partial(grant, role=APP))


@asynccontextmanager
async def _settings(owner_url: str | None) -> AsyncIterator[Target]:
    """The deployment of the settings: a Postgres of its own, an Apache CouchDB or this machine's store."""
    database_url, store, data_dir, encryption_keys = settings_of_environment()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    role = sqlalchemy_url(database_url).username
    owner = owner_url or database_url
    shared = role is None or role == sqlalchemy_url(owner).username
    async with _store(store, data_dir) as place:
        yield Target(
            place,
            data_dir,
            encryption_keys,
            owner,
            None if shared else role,
            None if shared or role is None else partial(grant, role=role),
        )


@asynccontextmanager
async def _store(url: str | None, data_dir: Path) -> AsyncIterator[Place]:
    if url is None:
        async with private_store(data_dir / "store") as place:
            yield place
        return
    if urlsplit(url).username is None and not signing_key_path(data_dir).exists():
        raise NotEmpty(
            f"{url} is another machine's service: its signing key has to be in {data_dir / 'keys'} first."
        )
    # A server with a login of its own is asked with that, and the set's key is still to be placed.
    known = signing_key_path(data_dir).exists()
    key = load_or_create_signing_key(data_dir) if known else SigningKey.generate()
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        login = store_login(url, key, service="restore")
        yield Place(session, login.base, login.headers)


def _encryption_keys() -> tuple[str, ...]:
    given = os.environ.get("DATA_ENCRYPTION_KEYS", "").split(",")
    return tuple(part.strip() for part in given if part.strip())


def _tell_plan(plan: Plan) -> None:
    last = plan.last
    click.echo(f"The set is sound. As it was after run {last.number}, {last.started}:", err=True)
    for name, chain in plan.chains.items():
        leaves = sum(file.written.counts.leaves for _, file in chain)
        click.echo(f"  {name}: {leaves} leaves in {len(chain)} files", err=True)
    postgres = "none: only the databases"
    if plan.postgres is not None:
        run, dump = plan.postgres
        postgres = f"schema {dump.schema}"
        if run is not last:
            postgres += (
                f", as it was after run {run.number}, {run.started}: no later run has it. Erasures that were "
                "carried out since have to be run again"
            )
    click.echo(f"  Postgres: {postgres}", err=True)
    keys = "in the set" if last.keys else "not in the set: they have to be in the data directory"
    click.echo(f"  keys: {keys}", err=True)


def _print(restored: Sequence[RestoredDatabase], *, whole: bool) -> None:
    for each in restored:
        compared = each.comparison
        click.echo(
            f"{each.database}: {compared.documents} documents with {compared.leaves} leaves; "
            f"{each.stored} written, {each.known} there already, {each.left_out} left out as erased"
        )
        for refusal in each.refused[:10]:
            click.echo(f"  refused: {refusal.id} {refusal.rev}: {refusal.error} {refusal.reason}")
        if compared.different:
            click.echo(f"  {compared.different} differ: {', '.join(compared.examples)}")
        if compared.further:
            click.echo(f"  {compared.further} documents are not in the set")
    click.echo(
        "Restored, and compared with the set: every leaf is there. Start the system, then `sync-server "
        "reconcile --full`. Erasures that were carried out after this backup have to be run again."
        if whole
        else "Not complete: start it again, or see above what could not be restored."
    )

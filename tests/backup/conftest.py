"""A deployment to back up, and empty ones to restore into."""

import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from replication.dump.place import Place
from sync_server.backup.making import Source, Wanted, make_backup
from sync_server.backup.manifest import Manifest
from sync_server.backup.private_store import private_store
from sync_server.backup.restoring import RestoredDatabase, Target, plan_restore, restore_set
from sync_server.cli.migrate import grant
from sync_server.embedded.postgres import APP, DATABASE, OWNER
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.keys import SETTINGS
from sync_server.store_client import store_login
from tests.administration.conftest import office, office_settings
from tests.administration.office import Office
from tests.couchdb.behind import expect_deviations, no_sites
from tests.embedded.supervised import SupervisedSystem

__all__ = ["no_sites", "office", "office_settings"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """From an Apache CouchDB into an embedded store some tests are something else."""
    expect_deviations(items)


def silent(part: str, done: int | None, total: int | None, size: int) -> None:
    """Progress that nobody looks at."""


class Backups:
    """Runs of the office's backup into one set."""

    def __init__(self, office: Office, owner_url: str, directory: Path, place: Place) -> None:
        self.office = office
        self.directory = directory
        self.data_dir = office.gateway.app[SETTINGS].data_dir
        self.source = Source(place, self.data_dir, (), owner_url)

    async def run(
        self,
        *,
        postgres: bool = True,
        incremental: bool = False,
        keys: bool = False,
        winners: bool = False,
    ) -> Manifest:
        """One run."""
        source = self.source if postgres else self.source._replace(postgres_url=None)
        wanted = Wanted((), incremental, keys, winners)
        return await make_backup(source, self.directory, wanted, silent)


class Fresh:
    """An empty deployment."""

    def __init__(self, target: Target) -> None:
        self.target = target

    async def restore(self, backups: Backups, manifest: Manifest, **options: bool) -> list[RestoredDatabase]:
        """Restore the whole set."""
        plan = plan_restore(backups.directory, manifest, ())
        return await restore_set(plan, self.target, silent, **options)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Ask its Postgres."""
        with psycopg.connect(self.target.owner_url) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
async def backups(office: Office, owner_database_url: str, tmp_path: Path) -> Backups:
    settings = office.gateway.app[SETTINGS]
    key = load_or_create_signing_key(settings.data_dir)
    base, headers = store_login(settings.feed_url, key, service="backup")
    # The office's own client knows its session.
    session = office.feed._client._session
    return Backups(office, owner_database_url, tmp_path / "set", Place(session, base, headers))


@pytest.fixture
async def fresh(
    postgres_server: SupervisedSystem, dropping: Callable[[str], None], tmp_path: Path
) -> AsyncIterator[Fresh]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
        sql.Identifier(name), sql.Identifier(DATABASE), sql.Identifier(OWNER)
    )
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as connection:
        connection.execute(create)
    url = urlunsplit(urlsplit(postgres_server.owner_url)._replace(path=f"/{name}"))
    data_dir = tmp_path / "fresh"
    data_dir.mkdir()
    async with private_store(data_dir / "store") as place:
        yield Fresh(Target(place, data_dir, (), url, APP, partial(grant, role=APP)))
    dropping(name)

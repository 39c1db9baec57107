"""`sync-server up` with `COUCHDB_URL`: everything runs on this machine but the store.

| situation | what follows |
|---|---|
| CouchDB does not answer, or refuses the login | a sentence; everything starts, and serves once it does |
| the data directory's own store holds site databases | refused: nobody would serve them any more |
| the directory's were in a CouchDB, and `COUCHDB_URL` is not set | refused, likewise |

A data directory stays with its kind of store: what moves from one to the other is a backup that is restored.
"""

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from replication.errors import CouchError
from replication.store.registry import SUFFIX
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.record import CouchDB, last_record
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.provisioning.design import site_design
from sync_server.replication_jobs.asked import without_login
from sync_server.settings import Settings, SettingsError
from sync_server.store_client import store_client

_PATIENCE = aiohttp.ClientTimeout(total=10, connect=5)
_A_SITE = f"{b'site-'.hex()}*{SUFFIX}"


def couchdb_of_up(settings: Settings) -> CouchDB | None:
    """The CouchDB of the settings; None: the embedded store. Raises SettingsError where the data directory
    is another store's.
    """
    design = site_design(settings)
    couchdb = None
    if settings.couchdb_url is not None and design is not None:
        couchdb = CouchDB(url=settings.couchdb_url, q=design.q, n=design.n, validation=design.validation)
    with contextlib.suppress(OSError):  # the start says what is wrong with the directory
        _refuse_another_store(DataDirectory.at(settings.data_dir), couchdb)
    return couchdb


async def why_away(data_dir: Path, url: str) -> str | None:
    """What keeps the service from the CouchDB at `url`, in a sentence; None: it serves."""
    key = await asyncio.to_thread(load_or_create_signing_key, data_dir)
    async with aiohttp.ClientSession(timeout=_PATIENCE) as session:
        try:
            await store_client(session, url, key, service="up").server_info()
        except CouchError as error:
            return (
                f"CouchDB at {without_login(url)} does not serve: {error.reason}. Tablets are "
                "answered 503 until it does; everything else runs."
            )
    return None


def _refuse_another_store(directory: DataDirectory, couchdb: CouchDB | None) -> None:
    if couchdb is not None:
        if any(directory.store.glob(_A_SITE)):
            raise SettingsError(
                [
                    f"COUCHDB_URL is set, and {directory.store} holds site databases, which would not be "
                    "served any more. Unset it, or move the deployment: `sync-server backup`, then "
                    "`sync-server restore` with COUCHDB_URL into a new data directory (docs/BACKUP.md)."
                ]
            )
        return
    before = last_record(directory)
    if before is not None and before.couchdb is not None:
        raise SettingsError(
            [
                f"COUCHDB_URL is not set, and the site databases of {directory.root} are in the CouchDB at "
                f"{without_login(before.couchdb.url)}. Set it, or move the deployment: `sync-server "
                "backup`, then `sync-server restore` into a new data directory (docs/BACKUP.md)."
            ]
        )

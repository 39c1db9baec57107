"""Enrolling a device: its site's database exists, its credential is signed and on record.

The credential is recorded in a transaction that commits last. So a name that is not possible makes no
database, and a database that could not be made leaves no credential; an empty database may be left when
Postgres goes away at the commit, and the next enrolment takes it.
"""

import contextlib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import msgspec

from replication.errors import DatabaseExists
from reporting.engine import sync_engine
from reporting.hubs import SyncAddress
from reporting.sites import database_of
from reporting.studies.sites import hold_site, insert_site
from sync_server.identity.devices import EnrolledRole, enrol
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.store_client import store_client

STORE_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


class Enrolment(msgspec.Struct, frozen=True):
    """What a device needs to sync; printed once, stored nowhere."""

    device: str
    site: str
    database: str
    url: str
    username: str
    password: str
    token: str
    hubs: list[SyncAddress] = []
    """Hubs of the site, which take the same credential: their databases' URLs in the site's own network."""

    @property
    def pouchdb_url(self) -> str:
        """The URL with the login inside, as PouchDB takes it."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=f"{quote(self.username)}:{self.password}@{parts.netloc}"))


class SiteArchived(ValueError):
    """The site is archived: nobody is enrolled there."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"The site {site} is archived; open it again before devices are enrolled there.")


async def enrol_device(
    *,
    site: str,
    device: str,
    role: EnrolledRole,
    feed_url: str,
    public_base: str,
    database_url: str,
    data_dir: Path,
    keep: bool = False,
) -> Enrolment:
    """Enrol a device at a site; the site's database is made if it is new.

    `public_base` is how the device reaches the server. Raises InvalidSiteName, InvalidDeviceName,
    SiteArchived, UnusableSigningKey, OSError (the key's file), CouchError, or SQLAlchemy's DBAPIError.
    """
    database = database_of(site)
    key = load_or_create_signing_key(data_dir)
    engine = sync_engine(database_url)
    try:
        with engine.begin() as connection:
            connection.execute(insert_site(site))
            if connection.scalar(hold_site(site)) != "open":
                raise SiteArchived(site)
            enrolled = enrol(
                connection,
                key,
                site=site,
                device=device,
                role=role,
                now=datetime.now(UTC),
                credential_id=uuid.uuid4().hex,
                keep=keep,
            )
            async with aiohttp.ClientSession(timeout=STORE_TIMEOUT) as session:
                client = store_client(session, feed_url, key, service="enrolment")
                with contextlib.suppress(DatabaseExists):
                    await client.create(database)
    finally:
        engine.dispose()
    return Enrolment(
        device=device,
        site=site,
        database=database,
        url=f"{public_base.rstrip('/')}/db/{quote(database, safe='')}",
        username=device,
        password=enrolled.token,
        token=enrolled.token,
    )

"""Replication jobs on an Apache CouchDB's own scheduler: `TEST_COUCHDB_URL`, with the login of an admin."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest

from reporting.engine import sync_engine
from reporting.replication_jobs.changing import Act, Wanted, act_on_job, create_job, read_job
from reporting.replication_jobs.rows import ReplicationJob
from sync_server.jobs.replication import look_after_jobs
from sync_server.jobs.resources import Resources, resources
from sync_server.replication_jobs.asked import without_login
from sync_server.replication_jobs.credentials import Credential, seal
from sync_server.settings import Settings
from tests.administration.office import Office

COUCHDB = os.environ.get("TEST_COUCHDB_URL")
PATIENCE = 90.0

pytestmark = pytest.mark.skipif(COUCHDB is None, reason="TEST_COUCHDB_URL names no Apache CouchDB")


class Site(NamedTuple):
    """A site on the CouchDB, and the other side, a database of the same server."""

    held: Resources
    site: str
    other: str

    @property
    def database(self) -> str:
        return f"site-{self.site}"

    def login(self) -> Credential:
        parts = urlsplit(COUCHDB or "")
        return Credential(user=parts.username, password=parts.password)

    def make(self, credential: Credential, url: str | None = None) -> int:
        url = url or f"{without_login(COUCHDB or '')}/{self.other}"
        wanted = Wanted(
            site=self.site,
            name="up",
            kind="collected",
            direction="push",
            url=url,
            login_name=credential.user,
            credential=seal(self.held.sealer, url, credential),
        )
        return int(self.change(lambda connection: create_job(connection, wanted, by="test")).id)

    def act(self, number: int, act: Act) -> None:
        self.change(
            lambda connection: act_on_job(connection, read_job(connection, number, lock=True), act, by="test")
        )

    def change(self, do: Callable[[Any], ReplicationJob]) -> ReplicationJob:
        engine = sync_engine(self.held.settings.database_url)
        try:
            with engine.begin() as connection:
                return do(connection)
        finally:
            engine.dispose()

    async def watched(self, number: int, is_wanted: Callable[[ReplicationJob], bool]) -> ReplicationJob:
        job: ReplicationJob | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    assert await look_after_jobs(cast(Any, None), self.held) is None
                    job = self.change(lambda connection: read_job(connection, number))
                    if is_wanted(job):
                        return job
                    await asyncio.sleep(0.5)
        except TimeoutError as error:
            raise AssertionError(job) from error

    async def arrived(self, *wanted: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                path = f"/{self.other}/_all_docs"
                rows = (await self.held.client.request("GET", path, dict[str, Any]))["rows"]
                if [row["id"] for row in rows] == sorted(wanted):
                    return
                await asyncio.sleep(0.2)


@pytest.fixture
def office_settings(office_settings: Settings) -> Settings:
    """The centre has a store of its own."""
    return msgspec.structs.replace(office_settings, couchdb_url=None)


@pytest.fixture
async def site(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    code = f"jobs-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        database_url=database_url, redis_url=redis_url, data_dir=tmp_path, couchdb_url=COUCHDB
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO sites (code) VALUES (%s)", [code])
    async with resources(settings) as held:
        made = Site(held, code, f"jobs-{code}-other")
        for database in (made.database, made.other):
            await held.client.create(database)
        yield made
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE replication_jobs SET desired = 'cancelled'")
        await look_after_jobs(cast(Any, None), held)
        for database in (made.database, made.other):
            await held.client.request("DELETE", f"/{database}", dict[str, Any])


async def test_couchdb_replicates_and_what_was_lost_comes_again_from_the_beginning(site: Site) -> None:
    client = site.held.client
    for name in ("s1", "s2"):
        await client.put(site.database, {"_id": f"session:{name}", "type": "session"})
    await client.put(site.database, {"_id": "battery:b@1", "type": "battery"})
    number = site.make(site.login())
    seen = await site.watched(number, lambda job: job.written == 2 and job.state == "running")
    assert (seen.failures, seen.error, seen.stuck_since) == (0, None, None)
    await site.arrived("session:s1", "session:s2")
    # Nothing differs from what has to be: what CouchDB adds to a document is no drift.
    doc_id = f"replication-job:{number}"
    before = await client.document("_replicator", doc_id)
    await site.watched(number, lambda job: job.state == "running")
    assert (await client.document("_replicator", doc_id))["_rev"] == before["_rev"]
    # Deleted by hand, it is put back.
    await client.request("DELETE", f"/_replicator/{doc_id}", dict[str, Any], query={"rev": before["_rev"]})
    await site.watched(number, lambda job: job.state == "running")
    assert (await client.document("_replicator", doc_id))["target"] == before["target"]
    # Lost at the other side, where the checkpoints say that it is.
    rev = (await client.document(site.other, "session:s1"))["_rev"]
    await client.request("POST", f"/{site.other}/_purge", dict[str, Any], body={"session:s1": [rev]})
    await client.put(site.database, {"_id": "session:s3", "type": "session"})
    site.act(number, "retry")
    await site.watched(number, lambda job: job.state == "running")
    await site.arrived("session:s2", "session:s3")
    site.act(number, "restart")
    await site.watched(number, lambda job: job.state == "running")
    await site.arrived("session:s1", "session:s2", "session:s3")
    site.act(number, "pause")
    assert await look_after_jobs(cast(Any, None), site.held) is None
    listing = await client.request("GET", "/_replicator/_all_docs", dict[str, Any])
    assert doc_id not in [row["id"] for row in listing["rows"]]


async def test_couchdb_crashes_with_a_wrong_password_and_tells_no_secret(site: Site) -> None:
    number = site.make(Credential(user="admin", password="wr0ng-s3cret"))
    seen = await site.watched(number, lambda job: job.state == "crashing")
    assert seen.error is not None
    assert "unauthorized" in seen.error
    assert "wr0ng" not in seen.error
    assert seen.next_retry_at is not None
    assert seen.error_at is not None
    assert 25 <= (seen.next_retry_at - seen.error_at).total_seconds() <= 65


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
async def test_couchdb_pushes_through_the_gateway_of_a_centre(
    site: Site, office: Office, scheme: str
) -> None:
    gateway = office.gateway
    await gateway.open_site(site.site)
    token = await gateway.enrol(site.site, "hub-1", role="hub")
    credential = Credential(token=token)
    if scheme == "Basic":
        credential = Credential(user="hub-1", password=token)
    await site.held.client.put(site.database, {"_id": "session:s1", "type": "session"})
    host, port = gateway.address
    number = site.make(credential, f"http://{host}:{port}/db/{site.database}")
    await site.watched(number, lambda job: job.written == 1)
    assert await gateway.stored(site.database) == ["session:s1"]
    assert [(each.doc_id, each.role) for each in gateway.receipts(site.site)] == [("session:s1", "hub")]

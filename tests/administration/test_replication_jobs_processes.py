"""A hub's service that is killed while it replicates goes on by itself; by a hub's own credential it pushes
through the centre's gateway.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, cast

import psycopg

from replication.client import CouchClient
from reporting.compiled import execute_in
from reporting.engine import sync_engine
from reporting.replication_jobs.changing import Wanted, create_job
from reporting.tables import replication_jobs
from sync_server.jobs.replication import look_after_jobs
from sync_server.jobs.resources import Resources, resources
from sync_server.keys import SETTINGS
from sync_server.replication_jobs.credentials import Credential, seal
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.administration.replication_desk import PASSWORD, PATIENCE, USER, Centre, arrived, at_centre
from tests.gateway.gateway import session
from tests.gateway.processes import Service

DOCUMENTS = 500


def the_hub(directory: Path, database_url: str, redis_url: str, **settings: str) -> Service:
    """It has a store of its own, also where the centre's is a CouchDB."""
    own = {"COUCHDB_URL": "", **settings}
    return Service(directory, database_url=database_url, redis_url=redis_url, **own)


def settings_of(service: Service, directory: Path) -> Settings:
    return Settings(
        database_url=service.settings["DATABASE_URL"],
        redis_url=service.settings["REDIS_URL"],
        data_dir=directory,
        environment="test",
        port=service.port,
    )


def make(held: Resources, url: str, credential: Credential, **members: Any) -> int:
    wanted: dict[str, Any] = {
        "site": "lima",
        "name": "up",
        "kind": "collected",
        "direction": "push",
        "url": url,
        "login_name": credential.user,
        "credential": seal(held.sealer, url, credential),
        **members,
    }
    engine = sync_engine(held.settings.database_url)
    try:
        with engine.begin() as connection:
            return create_job(connection, Wanted(**wanted), by="test").id
    finally:
        engine.dispose()


async def look(held: Resources) -> None:
    assert await look_after_jobs(cast(Any, None), held) is None


async def some_arrived(centre: Centre) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await centre.ids("site-lima"):  # noqa: ASYNC110 (another process's)
            await asyncio.sleep(0.01)


async def test_killed_in_the_middle_a_job_goes_on_without_anybody(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    directory = tmp_path / "hub"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO sites (code) VALUES ('lima')")
    hub = the_hub(directory, database_url, redis_url)
    async with at_centre(tmp_path / "centre", "site-lima") as centre:
        with hub:
            async with resources(settings_of(hub, directory)) as held:
                await held.client.create("site-lima")
                names = [f"s{number}" for number in range(DOCUMENTS)]
                documents = [{"_id": f"session:{name}", "type": "session"} for name in names]
                body = {"docs": documents}
                await held.client.request("POST", "/site-lima/_bulk_docs", list[Any], body=body)
                number = make(held, centre.url("site-lima"), Credential(user=USER, password=PASSWORD))
                await look(held)
                await some_arrived(centre)
                os.kill(hub.process.pid, signal.SIGKILL)
                hub.wait()
        again = the_hub(directory, database_url, redis_url, PORT=str(hub.port))
        with again:
            await arrived(centre, *(f"session:{name}" for name in names))
            async with resources(settings_of(hub, directory)) as held:
                await look(held)
            found = (replication_jobs.c.id, replication_jobs.c.state, replication_jobs.c.stuck_since)
            with psycopg.connect(database_url) as connection:
                rows = execute_in(connection, replication_jobs.select().with_only_columns(*found)).fetchall()
            assert rows == [(number, "running", None)]


async def test_a_hubs_credential_pushes_through_the_gateway_of_the_centre(
    office: Office, redis_url: str, tmp_path: Path
) -> None:
    office.study("SRO", "lima")
    await office.gateway.open_site("lima")
    token = await office.gateway.enrol("lima", "hub-1", role="hub")
    published = {"_id": "battery:b@1", "type": "battery"}
    gateway = office.gateway
    answer = await gateway.call("PUT", "/site-lima/battery:b@1", token=gateway.service, body=published)
    assert answer.status == 201
    directory = tmp_path / "hub"
    host, port = gateway.address
    url = f"http://{host}:{port}/db/site-lima"
    # One Postgres for both: what counts is that each has a store, and a key, of its own.
    database_url = gateway.app[SETTINGS].database_url
    hub = the_hub(directory, database_url, redis_url, SESSION_STORAGE_BACKEND="redis")
    with hub:
        async with resources(settings_of(hub, directory)) as held:
            client: CouchClient = held.client
            await client.create("site-lima")
            body = {"new_edits": False, "docs": [session("at-the-hub")]}
            await client.request("POST", "/site-lima/_bulk_docs", list[Any], body=body)
            make(held, url, Credential(token=token))
            make(held, url, Credential(token=token), name="down", kind="published", direction="pull")
            await look(held)
            async with asyncio.timeout(PATIENCE):
                while "session:at-the-hub" not in await gateway.stored("site-lima"):  # noqa: ASYNC110 (another process's)
                    await asyncio.sleep(0.05)
                while (await client.info("site-lima"))["doc_count"] != 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    assert [(each.doc_id, each.role) for each in gateway.receipts("lima")] == [("session:at-the-hub", "hub")]

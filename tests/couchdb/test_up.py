"""`sync-server up` with `COUCHDB_URL`: everything but the store, on this machine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from replication.http.access import allow_everything
from replication.http.server import couch_routes
from replication.store.registry import Registry
from sync_server.demo.generate import generate_sessions
from tests.end_to_end.system import System, free_port, wait_until
from tests.gateway.processes import environment, invoke, run

SESSIONS = 5
DESIGN_DOCUMENTS = ("_design/metricis", "_design/metricis-indexes")


@asynccontextmanager
async def couchdb_on(port: int, directory: Path) -> AsyncIterator[None]:
    """A server of the CouchDB API that lets everybody in."""
    registry = Registry(directory)
    app = web.Application()
    app.add_routes(couch_routes(registry, allow_everything))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        registry.stop_feeds()
        await runner.cleanup()
        await registry.close()


def ran(system: System, *command: str) -> dict[str, Any]:
    """What a command prints with `--data-dir` and `--json`."""
    told: dict[str, Any] = json.loads(system.run(*command, "--json", "--data-dir", str(system.data_dir)))
    return told


@pytest.mark.timeout(180)
async def test_it_starts_before_its_couchdb_and_serves_once_that_is_there(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://service:own-secret@127.0.0.1:{port}"
    system = System(tmp_path / "data", free_port(), COUCHDB_URL=url, STORE_URL="http://127.0.0.1:1/db")
    try:
        await asyncio.to_thread(system.start)
        await answers_503_and_says_why(system, f"http://127.0.0.1:{port}")
        async with couchdb_on(port, tmp_path / "couchdb"):
            await asyncio.to_thread(a_tablet_syncs, system)
            await check_site_database(f"http://127.0.0.1:{port}")
            (site,) = (await asyncio.to_thread(ran, system, "reconcile", "--full"))["sites"]
            assert (site["site"], site["counts"]["missing"]) == ("lima", 0)
            assert (await asyncio.to_thread(ran, system, "publish"))["agrees"] is True
            made = await asyncio.to_thread(ran, system, "backup", str(tmp_path / "set"), "--with-keys")
            assert [each["database"] for each in made["databases"]] == ["site-lima"]
        assert list((tmp_path / "data" / "store").iterdir()) == []
    finally:
        await asyncio.to_thread(system.stop)
    await moves_to_another_couchdb(tmp_path)
    forgotten = invoke("up", "--data-dir", str(tmp_path / "data"), "--port", str(system.port))
    forgotten.failed_with("COUCHDB_URL is not set", f"http://127.0.0.1:{port}", "docs/BACKUP.md")
    assert "own-secret" not in forgotten.err


async def check_site_database(address: str) -> None:
    """It is as `provision` makes it: the command that enrolled knew what the system was started with."""
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{address}/_all_dbs") as answer:
            assert "site-lima" in await answer.json()
        async with http.get(f"{address}/site-lima/_security") as answer:
            assert "metricis:service" in (await answer.json())["members"]["roles"]
        for name in DESIGN_DOCUMENTS:
            async with http.get(f"{address}/site-lima/{name}") as answer:
                assert answer.status == 200, name


async def answers_503_and_says_why(system: System, address: str) -> None:
    headers = system.service_headers()
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{system.base_url}/db/site-lima", headers=headers) as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        async with http.get(f"{system.base_url}/api/health/detailed") as answer:
            told = (await answer.json())["dependencies"]
            assert {name: each["status"] for name, each in told.items()} == {
                "postgres": "ok",
                "redis": "ok",
                "couchdb": "down",
            }
    log = system.log_path
    await asyncio.to_thread(wait_until, lambda: f"CouchDB at {address} does not serve" in log.read_text(), 30)
    assert "own-secret" not in log.read_text()


async def moves_to_another_couchdb(tmp_path: Path) -> None:
    """The set is restored into a new data directory and an empty CouchDB."""
    port, new = free_port(), tmp_path / "new"
    env = environment(COUCHDB_URL=f"http://service:own-secret@127.0.0.1:{port}")
    command = ("restore", str(tmp_path / "set"), "--data-dir", str(new), "--yes", "--json")
    async with couchdb_on(port, tmp_path / "other-couchdb"):
        restored = json.loads((await asyncio.to_thread(partial(run, *command, env=env))).out)
        (database,) = restored["databases"]
        assert (restored["complete"], database["stored"]) == (True, SESSIONS + len(DESIGN_DOCUMENTS))
        await check_site_database(f"http://127.0.0.1:{port}")
    assert list((new / "store").iterdir()) == []


def a_tablet_syncs(system: System) -> None:
    enrolment = system.enrol("lima", "tab-1")
    sessions = generate_sessions(SESSIONS, site="lima", seed=7, trials_per_task=10)
    file = system.data_dir.parent / "sessions.ndjson"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in sessions))
    login = ("--user", enrolment["username"], "--password", enrolment["password"])
    loaded = json.loads(system.run("load", str(file), "--url", enrolment["url"], *login, "--json"))
    assert loaded["stored"] == SESSIONS
    wait_until(lambda: system.value("SELECT count(*) FROM sessions") == SESSIONS, 60)


def test_a_data_directory_stays_with_its_kind_of_store(tmp_path: Path) -> None:
    file = tmp_path / "store" / f"{b'site-lima'.hex()}.sqlite"
    file.parent.mkdir()
    file.touch()
    couchdb = {"COUCHDB_URL": "http://sync:own-secret@couch.example:5984"}
    refused = invoke("up", "--data-dir", str(tmp_path), env=couchdb)
    refused.failed_with("COUCHDB_URL is set", str(file.parent), "sync-server restore")
    assert list(tmp_path.iterdir()) == [file.parent]

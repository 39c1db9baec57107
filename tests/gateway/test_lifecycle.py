"""Starting and stopping: a stop loses nothing that was acknowledged, a start says what is wrong."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psycopg
import pytest

from replication.client import CouchClient, Unreachable
from replication.store.reading import Selection
from replication.store.registry import Registry
from sync_server.embedded.errors import NotRunning
from sync_server.embedded.record import running_system
from tests.embedded.supervised import SupervisedSystem
from tests.end_to_end.system import free_port, wait_until
from tests.gateway.gateway import session
from tests.gateway.processes import Service, environment, invoke, run

SITE = "lima"
DATABASE = "site-lima"
WAITING = 3


@pytest.fixture
def service(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Service]:
    """`serve`, running."""
    with Service(tmp_path, database_url=database_url, redis_url=redis_url) as running:
        yield running


class Tablet(NamedTuple):
    """An enrolled tablet's connection to the service."""

    http: aiohttp.ClientSession
    client: CouchClient
    url: str


@pytest.fixture
async def tablet(service: Service) -> AsyncIterator[Tablet]:
    enrolment = await service.enrol(SITE)
    headers = {"Authorization": f"Bearer {enrolment.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Tablet(http, CouchClient(http, f"{service.base_url}/db"), enrolment.url)


async def _stored(data_dir: Path) -> set[str]:
    """What is in the site database's file once nobody serves it."""
    registry = Registry(data_dir / "store")
    try:
        database = await registry.open(DATABASE)
        rows = (await database.feed(0, 1_000_000, Selection(None, None))).rows
        return {row.id for row in rows}
    finally:
        await registry.close()


async def test_a_stop_during_pushes_loses_nothing_acknowledged_and_ends_waiting_feeds(
    service: Service, tablet: Tablet, tmp_path: Path, database_url: str
) -> None:
    acknowledged: set[str] = set()
    enough = asyncio.Event()

    async def push(sender: int) -> None:
        for number in range(100_000):
            docs = [session(f"{sender}-{number}-{n}", filler="x" * 2_000) for n in range(5)]
            body = {"new_edits": False, "docs": docs}
            try:
                async with tablet.http.post(f"{tablet.url}/_bulk_docs", json=body) as answer:
                    if answer.status != 201:
                        return
                    await answer.read()
            except aiohttp.ClientError:
                return
            acknowledged.update(doc["_id"] for doc in docs)
            if len(acknowledged) >= 200:
                enough.set()

    async def wait_for_change() -> Any:
        query = {"feed": "longpoll", "since": "now", "heartbeat": "1000"}
        async with tablet.http.get(f"{tablet.url}/_changes", params=query) as answer:
            assert answer.status == 200
            return await answer.json()

    feeds = [asyncio.create_task(wait_for_change()) for _ in range(WAITING)]
    pushes = [asyncio.create_task(push(sender)) for sender in range(4)]
    await enough.wait()
    service.terminate()
    await asyncio.gather(*pushes)
    # Cut off they would raise: the answer of a feed that was ended in order is complete.
    assert [feed["results"] for feed in await asyncio.gather(*feeds)] == [[]] * WAITING
    assert await asyncio.to_thread(service.wait) == 0
    assert "requests are cut off by the stop" not in [line.get("event") for line in service.lines]
    stored = await _stored(tmp_path)
    assert acknowledged <= stored
    with psycopg.connect(database_url) as connection:
        recorded = {doc_id for (doc_id,) in connection.execute("SELECT doc_id FROM ingest_log")}
    assert stored <= recorded


async def test_a_request_that_is_half_sent_at_the_stop_is_finished_and_is_the_last_of_its_connection(
    service: Service, tablet: Tablet, tmp_path: Path
) -> None:
    stopped = asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        yield b'{"new_edits":false,"docs":[{"_id":"session:slow",'
        await stopped.wait()
        yield b'"_rev":"1-aa"}]}'

    headers = {"Content-Type": "application/json"}

    async def push() -> tuple[int, str | None]:
        request = tablet.http.post(f"{tablet.url}/_bulk_docs", data=slow_body(), headers=headers)
        async with request as answer:
            return answer.status, answer.headers.get("Connection")

    pushing = asyncio.create_task(push())
    await tablet.client.info(DATABASE)
    service.terminate()
    await _stops_listening(service.port)
    stopped.set()
    # The tablet is told to send its next batch on another connection, which nobody accepts.
    assert await pushing == (201, "close")
    assert await asyncio.to_thread(service.wait) == 0
    assert "session:slow" in await _stored(tmp_path)


async def _stops_listening(port: int) -> None:
    """Returns once nobody accepts connections there."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        writer.close()
        await writer.wait_closed()


async def test_after_kill_9_everything_acknowledged_is_there_and_the_rest_can_be_pushed_again(
    service: Service, tablet: Tablet, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    docs = [session(f"s{n}") for n in range(50)]
    body = {"new_edits": False, "docs": docs}
    async with tablet.http.post(f"{tablet.url}/_bulk_docs", json=body) as answer:
        assert answer.status == 201
    service.process.kill()
    assert await asyncio.to_thread(service.wait) == -signal.SIGKILL
    with pytest.raises(Unreachable):
        await tablet.client.info(DATABASE)
    with Service(tmp_path, database_url=database_url, redis_url=redis_url) as again:
        headers = dict(tablet.http.headers)
        client = CouchClient(tablet.http, f"{again.base_url}/db", headers=lambda: headers)
        revs = {doc["_id"]: ["1-aa"] for doc in docs}
        assert await client.revs_diff(DATABASE, revs) == {}


def test_log_lines_are_json_with_process_and_request(service: Service) -> None:
    assert service.log_line("serving")["process"] == "serve"
    service.terminate()
    assert service.wait() == 0
    assert all("text" not in line for line in service.lines)


GOOD = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1/0"}


def test_wrong_settings_are_all_told_in_sentences(tmp_path: Path) -> None:
    wrong = {"DATABASE_URL": "mysql://x", "PORT": "many", "ENVIRONMENT": "prod", "DATA_DIR": str(tmp_path)}
    for command in ("serve", "project"):
        ended = invoke(command, env=wrong)
        ended.failed_with("DATABASE_URL must", "PORT='many'", "ENVIRONMENT='prod'", "REDIS_URL is not set")
        assert len(ended.err.splitlines()) == 4
    assert list(tmp_path.iterdir()) == []


def test_up_refuses_wrong_settings_before_it_makes_anything(tmp_path: Path) -> None:
    wrong = {
        "ADMIN_EMAIL": "nobody",
        "ADMIN_PASSWORD": "short",
        "COUCHDB_URL": "x",
        "STORE_URL": "http://x:y",
    }
    data_dir = tmp_path / "data"
    ended = invoke("up", "--data-dir", str(data_dir), env=wrong)
    ended.failed_with("ADMIN_EMAIL must", "ADMIN_PASSWORD must", "COUCHDB_URL must", "STORE_URL is no URL")
    invoke("up", env={"PORT": "many"}).failed_with("PORT", "many")
    invoke("up", "--data-dir", str(data_dir), "--host", "203.0.113.9").failed_with("Cannot listen")
    assert not data_dir.exists()


def test_a_taken_port_is_told_in_a_sentence(service: Service, tmp_path: Path, database_url: str) -> None:
    port = str(service.port)
    other = tmp_path / "other"
    up = invoke("up", "--data-dir", str(other), "--port", port)
    up.failed_with(f"Cannot listen on 127.0.0.1 port {port}: Address already in use")
    assert not other.exists()
    settings = {**GOOD, "DATABASE_URL": database_url, "DATA_DIR": str(other), "PORT": port}
    settings["SESSION_STORAGE_BACKEND"] = "redis"
    run("serve", env=environment(**settings)).failed_with(f"port {port}: Address already in use")


def test_a_second_service_on_one_store_says_so(service: Service, tmp_path: Path) -> None:
    ended = run("serve", env=environment(**GOOD, DATA_DIR=str(tmp_path), PORT="1"))
    ended.failed_with("is served by another process")


@pytest.mark.parametrize("command", ["serve", "project"])
def test_an_unusable_signing_key_is_told_in_a_sentence(tmp_path: Path, command: str) -> None:
    key = tmp_path / "keys" / "device-signing.pem"
    key.parent.mkdir()
    key.touch(mode=0o600)
    run(command, env=environment(**GOOD, DATA_DIR=str(tmp_path))).failed_with("no unencrypted P-256")


def test_a_second_up_on_one_directory_says_so_whatever_its_port(postgres_server: SupervisedSystem) -> None:
    directory = str(postgres_server.data_directory)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for port in (str(taken.getsockname()[1]), str(free_port())):
            ended = invoke("up", "--data-dir", directory, "--port", port)
            ended.failed_with("A system is already running on", str(postgres_server.process.pid))


def test_up_goes_on_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    log = tmp_path / "log"
    reading, writing = os.pipe()
    os.close(reading)
    port = free_port()
    command = [sys.executable, "-m", "sync_server", "up", "--data-dir", str(directory), "--port", str(port)]
    with log.open("wb") as err:
        process = subprocess.Popen(command, stdout=writing, stderr=err, env=environment())
    os.close(writing)
    try:

        def is_up() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return running_system(directory).base_url is not None
            except NotRunning:
                return False

        wait_until(is_up, 60, log.read_text)
        # It prints after that; a second command finds it running still.
        account = ("--email", "a@b.example", "--password", "x" * 12)
        ended = run("users", "create", *account, "--data-dir", str(directory))
        assert ended.code == 0, ended.err
        assert process.poll() is None
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, log.read_text()

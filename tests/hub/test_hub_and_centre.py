"""A day at a clinic with bad internet: real tablets, the hub's process, the centre's process, a wire between.

The wire is cut and restored, the hub is killed in the middle of both directions, a tablet is revoked while
the hub is offline. In the end every replica has every leaf, and Postgres everything once, under the name of
the tablet that wrote it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
import pytest
from sqlalchemy import Connection

from replication.client import CouchClient
from replication.store.registry import Registry
from reporting.engine import sync_engine
from reporting.projection.pump import Pump
from sync_server.demo.generate import generate_sessions
from sync_server.enrolment import enrol_device
from sync_server.feed import CouchFeed
from sync_server.identity.devices import revoke
from sync_server.identity.enrolment_codes import insert_code, new_code
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.service_credential import service_headers
from tests.gateway.processes import Service
from tests.hub.processes import HubProcess
from tests.hub.wire import Wire, wire_to
from tests.interop.pouchdb import node, run_tablet
from tests.replication.stored import feed

SITE, DATABASE = "lima", "site-lima"
TABLETS = ("tab-1", "tab-2", "tab-3")
EACH = 100
PUBLISHED = 300


class Centre:
    """The centre's process, and what people do there."""

    def __init__(self, service: Service, client: CouchClient) -> None:
        self.service = service
        self.client = client
        self._database_url = service.settings["DATABASE_URL"]

    async def enrol(self, device: str) -> str:
        """A tablet's credential."""
        enrolment = await enrol_device(
            site=SITE,
            device=device,
            role="tablet",
            feed_url=f"{self.service.base_url}/db",
            public_base=self.service.base_url,
            database_url=self._database_url,
            data_dir=self.service.data_dir,
        )
        return enrolment.token

    def code_for_hub(self) -> str:
        """A one-time code, as a coordinator makes it."""
        code = new_code()
        inserted = insert_code(
            code=code,
            site=SITE,
            device="hub-1",
            role="hub",
            label="",
            created_by="coordinator@clinic.example",
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        with self._transaction() as connection:
            connection.execute(inserted)
        return code

    def revoke(self, device: str) -> None:
        """End a device's credential."""
        with self._transaction() as connection:
            assert revoke(connection, site=SITE, device=device) == 1

    async def publish(self, first: int, count: int) -> None:
        """So many publications."""
        docs = [
            {
                "_id": f"participant:p{n}",
                "_rev": "1-a",
                "_revisions": {"start": 1, "ids": ["a"]},
                "x": "y" * 900,
            }
            for n in range(first, first + count)
        ]
        assert await self.client.push(DATABASE, [msgspec.json.encode(doc) for doc in docs]) == []

    async def leaves(self) -> dict[str, tuple[str, ...]]:
        """Every leaf of every document."""
        page = await self.client.changes(DATABASE, "0", limit=10_000)
        return {change.id: tuple(sorted(change.revs)) for change in page.changes}

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        engine = sync_engine(self._database_url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    async def project(self) -> None:
        """Project all there is."""
        await Pump(CouchFeed(self.client), self._database_url).drain()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask Postgres."""
        with psycopg.connect(self._database_url) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
async def centre(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Centre]:
    with Service(tmp_path / "centre", database_url=database_url, redis_url=redis_url) as service:
        headers = service_headers(load_or_create_signing_key(service.data_dir), service="test")
        async with aiohttp.ClientSession() as session:
            yield Centre(service, CouchClient(session, f"{service.base_url}/db", headers=headers))
        assert [line for line in service.lines if line.get("level") == "error"] == []


@pytest.fixture
async def wire(centre: Centre) -> AsyncIterator[Wire]:
    async with wire_to(centre.service.port) as made:
        yield made


def collected(device: str) -> list[dict[str, Any]]:
    """What a tablet has collected, and one session that all of them have changed."""
    made = generate_sessions(EACH, site=SITE, seed=len(device), study="SRO", trials_per_task=2)
    own = [{**each, "_id": f"session:{device}-{number}"} for number, each in enumerate(made)]
    edits = [{**each, "_rev": "1-aa", "_revisions": {"start": 1, "ids": ["aa"]}} for each in own]
    branch = device.replace("tab-", "b")
    shared = {
        **own[0],
        "_id": "session:shared",
        "_rev": f"2-{branch}",
        "_revisions": {"start": 2, "ids": [branch, "aa"]},
    }
    return [*edits, shared]


def sessions(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the documents that are sessions."""
    return {doc_id: revs for doc_id, revs in leaves.items() if doc_id.startswith("session:")}


def published(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are publications."""
    return {doc_id: revs for doc_id, revs in leaves.items() if doc_id.startswith("participant:")}


def leaves_of(*tablets: Mapping[str, list[Any]]) -> dict[str, tuple[str, ...]]:
    """Every leaf that some of these tablets have."""
    found: dict[str, set[str]] = {}
    for tablet in tablets:
        for doc_id, documents in tablet.items():
            found.setdefault(doc_id, set()).update(each["_rev"] for each in documents)
    return {doc_id: tuple(sorted(revs)) for doc_id, revs in found.items()}


async def same_content(centre: Centre, tablets: list[dict[str, list[Any]]]) -> None:
    """The centre has each leaf as the tablet has it, with its history."""
    for tablet in tablets:
        for doc_id in ("session:shared", *list(tablet)[::10]):
            there = {leaf["_rev"]: leaf for leaf in await centre.client.open_leaves(DATABASE, doc_id)}
            assert [there[leaf["_rev"]] for leaf in tablet[doc_id]] == tablet[doc_id]


def trials_of(leaves: Mapping[str, list[Any]]) -> Iterator[tuple[Any, ...]]:
    """What names each trial of these documents."""
    for doc_id, documents in leaves.items():
        for task in (task for document in documents for task in document["tasks"]):
            yield from ((doc_id, task["task"], task["run"], each["trial_index"]) for each in task["trials"])


def is_even(status: Any) -> bool:
    """The hub and the centre have told each other everything."""
    waiting = status["documents_waiting"] + status["journal_waiting"]
    return bool(status["link"]["up"] and not waiting and not status["link"]["problems"])


async def receipts(hub: HubProcess, token: str, *doc_ids: str) -> list[str]:
    """What the hub says of first revisions."""
    body = {"docs": [{"id": doc_id, "rev": "1-aa"} for doc_id in doc_ids]}
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{hub.base_url}/api/sync/receipts", json=body, headers=headers) as answer,
    ):
        return [each["state"] for each in (await answer.json())["data"]]


async def projected(hub: HubProcess, token: str, doc_id: str) -> None:
    """Wait until the hub has heard of it."""
    async with asyncio.timeout(20):
        while await receipts(hub, token, doc_id) != ["projected"]:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.1)


async def answered(base_url: str, token: str) -> int:
    """The status that a tablet gets."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base_url}/db/{DATABASE}", headers=headers) as answer,
    ):
        return answer.status


async def stored_at(hub: HubProcess) -> dict[str, tuple[str, ...]]:
    """Every leaf of every document in the files of a hub that does not run."""
    registry = Registry(hub.data_dir / "store")
    try:
        rows = await feed(await registry.open(DATABASE))
    finally:
        await registry.close()
    return {row.id: tuple(sorted(leaf["rev"] for leaf in msgspec.json.decode(row.leaves))) for row in rows}


async def test_a_day_with_a_bad_link_loses_nothing_and_writes_nothing_twice(
    tmp_path: Path, centre: Centre, wire: Wire
) -> None:
    executable = node()
    tokens = {device: await centre.enrol(device) for device in TABLETS}

    async def tablet(device: str, *steps: str, base: str, **job: Any) -> dict[str, Any]:
        url = f"{base}/db/{DATABASE}".replace("://", f"://{device}:{tokens[device]}@")
        store = str(tmp_path / device)
        return await run_tablet(executable, {"url": url, "steps": list(steps), "store": store, **job})

    async with HubProcess(tmp_path / "hub", wire.base_url, "--every", "0.3") as hub:
        await hub.start("--code", centre.code_for_hub())
        await hub.until(lambda status: status["link"]["up"])

        wire.cut()
        await hub.until(lambda status: not status["link"]["up"])
        await centre.publish(0, PUBLISHED)
        centre.revoke("tab-3")
        offline = await asyncio.gather(
            *(
                tablet(each, "push", "leaves", base=hub.base_url, edits=collected(each), batch_size=100)
                for each in TABLETS
            )
        )
        assert [each["denied"] for each in offline] == [[], [], []]
        written = sum(each["steps"][0]["written"] for each in offline)
        assert written == len(TABLETS) * (EACH + 1)

        # Killed while publications come down, and again while sessions go up.
        wire.restore(down=180_000)
        await asyncio.wait_for(wire.stalled.wait(), 30)
        hub.kill()
        wire.cut()
        pulled = len(published(await stored_at(hub)))
        assert 0 < pulled < PUBLISHED
        await hub.start()
        wire.restore(up=500_000)
        await asyncio.wait_for(wire.stalled.wait(), 30)
        hub.kill()
        wire.cut()
        pushed = len(sessions(await centre.leaves()))
        assert 0 < pushed <= len(TABLETS) * EACH
        await hub.start()
        states = await receipts(hub, tokens["tab-1"], "session:tab-1-0")
        assert states == ["stored"]

        wire.restore()
        await hub.until(is_even)
        assert [await answered(hub.base_url, tokens[each]) for each in TABLETS] == [200, 200, 401]

        # The same revisions once more, past the hub; and what was published meanwhile, from the hub.
        again = await asyncio.gather(
            tablet("tab-1", "push", base=centre.service.base_url, batch_size=100),
            tablet("tab-2", "pull", "leaves", base=hub.base_url, batch_size=100),
        )
        assert again[0]["steps"][0]["failures"] == 0
        await centre.project()
        await hub.until(is_even)
        await projected(hub, tokens["tab-1"], "session:tab-1-0")
        assert hub.stop() == 0

    collected_leaves = leaves_of(*(each["leaves"] for each in offline))
    there, here = await centre.leaves(), await stored_at(hub)
    assert len(collected_leaves["session:shared"]) == len(TABLETS)
    assert sessions(there) == sessions(here) == collected_leaves
    assert published(there) == published(here) == published(leaves_of(again[1]["leaves"]))
    assert len(published(there)) == PUBLISHED
    await same_content(centre, [each["leaves"] for each in offline])

    assert centre.rows("SELECT count(*), count(DISTINCT (site, id)) FROM sessions") == [
        (len(collected_leaves), len(collected_leaves))
    ]
    trials = len({trial for each in offline for trial in trials_of(each["leaves"])})
    assert centre.rows(
        "SELECT count(*), count(DISTINCT (session_id, task, run, trial_index)) FROM trials"
    ) == [(trials, trials)]
    entries = centre.rows(
        "SELECT device, role, via, count(*), count(DISTINCT (doc_id, rev)) FROM ingest_log"
        " WHERE outcome = 'received' GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert entries == [(device, "tablet", "hub-1", EACH + 1, EACH + 1) for device in TABLETS]
    assert centre.rows("SELECT count(*) FROM ingest_log WHERE outcome = 'refused'") == [(0,)]

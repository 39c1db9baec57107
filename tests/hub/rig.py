"""A hub in this process, and a stand-in for its centre: the agreed answers, and our own store for `/db`."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from replication.http.access import allow_everything
from replication.http.server import couch_routes
from replication.store.registry import Registry
from sync_server.gateway.open_requests import OpenRequests
from sync_server.gateway.pace import Paces
from sync_server.hub import erased, site_list
from sync_server.hub.app import build_hub
from sync_server.hub.centre import Centre
from sync_server.hub.erased import Erased
from sync_server.hub.erasing import Eraser
from sync_server.hub.link import Link
from sync_server.hub.parts import Hub
from sync_server.hub.private_store import private_store
from sync_server.hub.records import Records
from sync_server.hub.replicating import Replications
from sync_server.hub.settings import HubSettings
from sync_server.hub.site_list import FetchedList, ListedCredential, PublicKey, SiteList
from sync_server.identity.device_credentials import DeviceCredential, DeviceRole, SigningKey

SITE = "lima"
DATABASE = "site-lima"
KEY = SigningKey.generate()


def token(device: str, *, role: DeviceRole = "tablet", site: str = SITE, key: SigningKey = KEY) -> str:
    """A credential as the centre signs it; its id is `id-of-<device>`."""
    credential = DeviceCredential(device=device, site=site, role=role, id=f"id-of-{device}")
    return key.sign(credential, now=datetime.now(UTC))


def fetched_list(*revoked: str, version: str = "1", key: SigningKey = KEY) -> FetchedList:
    """The list of the site, with these devices' credentials revoked."""
    listed = [ListedCredential(f"id-of-{device}", device, "tablet", revoked=True) for device in revoked]
    pem = key.verifier.public_pem.decode()
    return FetchedList(version, SITE, [PublicKey(key.verifier.key_id, pem)], listed)


def session(name: str, rev: str = "1-aa", **members: Any) -> dict[str, Any]:
    """A replicated session document."""
    return {"_id": f"session:{name}", "_rev": rev, "type": "session", **members}


class RunningHub:
    """The hub, and its tablets' requests; paths begin below `/`."""

    def __init__(self, hub: Hub, client: TestClient[Any, Any]) -> None:
        self.hub = hub
        self.client = client

    async def call(
        self, method: str, path: str, *, by: str | None = None, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """(status, body) of one request; `by` is a token."""
        sent = {**headers, **({} if by is None else {"Authorization": f"Bearer {by}"})}
        async with self.client.request(method, path, json=body, headers=sent) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text

    async def push(self, by: str, *docs: Mapping[str, Any]) -> Any:
        """Replicate documents in; the rows of those that were not stored."""
        body = {"new_edits": False, "docs": docs}
        status, rows = await self.call("POST", f"/db/{DATABASE}/_bulk_docs", by=by, body=body)
        assert status == 201, rows
        return rows

    async def receipts(self, by: str, *revisions: tuple[str, str]) -> list[tuple[str, str | None]]:
        """(state, reason) of each."""
        body = {"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in revisions]}
        status, told = await self.call("POST", "/api/sync/receipts", by=by, body=body)
        assert status == 200, told
        return [(each["state"], each["reason"]) for each in told["data"]]

    async def journal(self) -> list[tuple[str, str, str, str, int]]:
        """(document, revision, outcome, device, told) in order."""
        query = "SELECT doc_id, rev, outcome, device, told FROM journal ORDER BY entry"
        return await self.hub.records.do(lambda c: c.execute(query).fetchall())

    async def ids(self) -> list[str]:
        """The documents in its store."""
        return await ids_in(self.hub.registry)


async def ids_in(registry: Registry) -> list[str]:
    """The ids of the live documents of the site's database."""
    database = await registry.open(DATABASE)
    return await database.read(lambda c: [row[0] for row in c.execute("SELECT id FROM docs ORDER BY id")])


@contextlib.asynccontextmanager
async def running_hub(
    data_dir: Path, centre: str = "http://127.0.0.1:9", *, store: str = "store", **settings: Any
) -> AsyncIterator[RunningHub]:
    """A hub on a directory, serving; what it kept there is in force again."""
    registry = Registry(data_dir / store)
    if DATABASE not in registry.names():
        await registry.create(DATABASE)
    async with Records(data_dir / "hub.sqlite") as records:
        known, kept = await records.do(lambda c: (erased.kept(c), site_list.load(c)))
        hub = Hub(
            settings=HubSettings(centre=centre, site=SITE, data_dir=data_dir, every=0.2, **settings),
            device="hub-1",
            registry=registry,
            records=records,
            site_list=SiteList(SITE),
            erased=Erased(erased.load_key(data_dir), known),
            open_requests=OpenRequests(),
            paces=Paces(requests_per_minute=6000, megabytes_per_minute=600),
            urls=("https://hub.lima:8443",),
        )
        if kept is not None:
            hub.site_list.replace(kept)
        async with TestClient(TestServer(build_hub(hub))) as client:
            yield RunningHub(hub, client)
        await registry.close()


@contextlib.asynccontextmanager
async def linked(running: RunningHub) -> AsyncIterator[Link]:
    """The hub's link, not running: the test makes each contact."""
    hub = running.hub
    async with (
        aiohttp.ClientSession() as session,
        private_store(hub.registry, hub.erased, memory_mb=16) as store,
    ):
        centre = Centre(session, hub.settings.centre, "hub's")
        replications = Replications(
            store,
            session,
            server=hub.registry.uuid,
            database=DATABASE,
            centre=hub.settings.centre,
            token="hub's",
        )
        eraser = Eraser(hub.records, hub.erased, store.client, DATABASE, settle=0.0)
        link = Link(hub, centre, replications, eraser)
        yield link
        await link.stop()


class FakeCentre:
    """What a centre answers, as agreed; what it was told."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.listed = fetched_list()
        self.tasks: list[dict[str, Any]] = []
        self.receipts: dict[str, tuple[str, str | None]] = {}
        self.calls: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.done: list[str] = []
        self.named_meanwhile: dict[str, list[str]] = {}
        """Documents that a task is about too, when the hub says that it is done."""
        self.rejects: set[str] = set()
        """Documents whose journal entries it cannot take."""
        self.fails: dict[str, int] = {}
        """Statuses to answer with, by the last part of a path."""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(middlewares=[self._noting])
        app.add_routes(
            [
                web.post("/api/sync/hub/status", self._status),
                web.get("/api/sync/hub/site", self._site),
                web.get("/api/sync/hub/erasures", self._erasures),
                web.post("/api/sync/hub/erasures/{id}/done", self._erased),
                web.post("/api/sync/hub/journal", self._journal),
                web.post("/api/sync/receipts", self._receipts),
                *couch_routes(self.registry, allow_everything, prefix="/db"),
            ]
        )
        return app

    @web.middleware
    async def _noting(self, request: web.Request, handler: Any) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[-1]
        if request.path.startswith("/api"):
            self.calls.append(name)
            if name in self.fails:
                error = {"error": {"code": "c", "message": "Not now.", "details": None}}
                return web.json_response(error, status=self.fails[name])
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _status(self, request: web.Request) -> web.Response:
        self.reports.append(await request.json())
        return web.json_response({"now": datetime.now(UTC).isoformat()})

    async def _site(self, request: web.Request) -> web.Response:
        if request.query.get("since") == self.listed.version:
            return web.Response(status=304)
        listed = self.listed
        return web.json_response(
            {
                "version": listed.version,
                "site": listed.site,
                "public_keys": [{"kid": key.kid, "pem": key.pem} for key in listed.public_keys],
                "credentials": [
                    {"id": c.id, "device": c.device, "role": c.role, "revoked": c.revoked}
                    for c in listed.credentials
                ],
                "erased": [],
            }
        )

    async def _erasures(self, request: web.Request) -> web.Response:  # noqa: ARG002
        open_ones = [task for task in self.tasks if str(task["id"]) not in self.done]
        return web.json_response({"tasks": [{**task, "version": self._version(task)} for task in open_ones]})

    async def _erased(self, request: web.Request) -> web.Response:
        number, told = request.match_info["id"], (await request.json())["version"]
        (task,) = (task for task in self.tasks if str(task["id"]) == number)
        task["documents"] |= self.named_meanwhile
        self.named_meanwhile = {}
        done = bool(told == self._version(task))
        if done:
            self.done.append(number)
        return web.json_response({"done": done})

    def _version(self, task: dict[str, Any]) -> str:
        return f"the centre's name for {sorted(task['documents'])}"

    async def _journal(self, request: web.Request) -> web.Response:
        entries = (await request.json())["entries"]
        if any(entry["doc_id"] in self.rejects for entry in entries):
            error = {"error": {"code": "invalid_request", "message": "No.", "details": None}}
            return web.json_response(error, status=422)
        self.entries += entries
        return web.json_response({"recorded": len(entries)})

    async def _receipts(self, request: web.Request) -> web.Response:
        asked = (await request.json())["docs"]
        told = []
        for doc in asked:
            state, reason = self.receipts.get(doc["id"], ("stored", None))
            told.append({**doc, "state": state, "reason": reason})
        return web.json_response({"data": told})

"""A CouchDB over HTTP, as the contract's tests talk to it: nothing here knows what answers."""

import base64
import contextlib
import io
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from replication.http.access import Authorize
from replication.http.intake import MAX_REQUEST_BYTES
from replication.http.server import couch_routes
from replication.replicator.replicator import Replicator
from replication.store.registry import Registry

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What a request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def ok(self, status: int = 200) -> Any:
        """The body as JSON, after a check of the status."""
        assert self.status == status, (self.status, self.body)
        return self.json

    def refused(self, status: int, error: str) -> str:
        """The reason of an error, after a check of its status and name."""
        told = self.json
        assert (self.status, told["error"]) == (status, error), (self.status, told)
        assert set(told) >= {"error", "reason"}
        return str(told["reason"])


@dataclass(frozen=True)
class Couch:
    """The server at `base`. Paths are given percent-encoded and begin with a slash."""

    base: str
    session: aiohttp.ClientSession

    def url(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        """The URL of a path; query values are encoded here."""
        return URL(self.base + path + (f"?{urlencode(query)}" if query else ""), encoded=True)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. `body` is sent as JSON; `data` as it is, with the headers given."""
        sent = dict(headers or {})
        if body is not None:
            data, sent = json.dumps(body).encode(), JSON | sent
        # As a file: aiohttp warns of large bodies in memory.
        content = None if data is None else io.BytesIO(data)
        async with self.session.request(
            method, self.url(path, query), data=content, headers=sent
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: str) -> Answer:
        """A GET."""
        return await self.call("GET", path, query=query)

    async def put(self, path: str, body: Any, **query: str) -> Answer:
        """A PUT of JSON."""
        return await self.call("PUT", path, query=query, body=body)

    async def post(self, path: str, body: Any, **query: str) -> Answer:
        """A POST of JSON."""
        return await self.call("POST", path, query=query, body=body)

    async def delete(self, path: str, **query: str) -> Answer:
        """A DELETE."""
        return await self.call("DELETE", path, query=query)


@dataclass(frozen=True)
class Db(Couch):
    """One database; `base` is its URL, and a path of a request follows it."""

    name: str = ""

    async def save(self, doc_id: str, **content: Any) -> str:
        """Write a document; its new revision."""
        answer = await self.put(f"/{quote(doc_id, safe='')}", content)
        return str(answer.ok(201)["rev"])

    async def remove(self, doc_id: str, rev: str) -> str:
        """Delete a document; the revision of its deletion."""
        return str((await self.delete(f"/{quote(doc_id, safe='')}", rev=rev)).ok()["rev"])

    async def push(self, *docs: Mapping[str, Any]) -> None:
        """Write replicated documents; every one has to be taken."""
        answer = await self.post("/_bulk_docs", {"docs": list(docs), "new_edits": False})
        assert answer.ok(201) == []

    async def changes(self, **query: str) -> Any:
        """The changes feed."""
        return (await self.get("/_changes", **query)).ok()

    @contextlib.asynccontextmanager
    async def listen(self, **query: str) -> AsyncIterator[aiohttp.StreamReader]:
        """A feed that does not end by itself, as the bytes that arrive."""
        async with self.session.get(self.url("/_changes", query)) as response:
            assert response.status == 200, await response.read()
            yield response.content

    async def everything(self) -> dict[str, list[Any]]:
        """Every leaf of every document by id: revision, history, content, attachments with their bytes."""
        found = {}
        for row in (await self.changes(style="all_docs"))["results"]:
            path = f"/{quote(row['id'], safe='')}"
            rows = (await self.get(path, open_revs="all", revs="true", attachments="true")).ok()
            found[row["id"]] = sorted((each["ok"] for each in rows), key=lambda document: document["_rev"])
        return found

    async def leaves(self, doc_id: str) -> set[str]:
        """All leaf revisions of a document, deleted ones too."""
        rows = (await self.get(f"/{quote(doc_id, safe='')}", open_revs="all")).ok()
        return {row["ok"]["_rev"] for row in rows}


def replicated(doc_id: str, *revs: str, **content: Any) -> dict[str, Any]:
    """A replicated document by its path, newest revision first: `replicated("a", "2-b", "1-a")`."""
    start = int(revs[0].partition("-")[0])
    ids = [rev.partition("-")[2] for rev in revs]
    return {"_id": doc_id, "_rev": revs[0], "_revisions": {"start": start, "ids": ids}, **content}


@contextlib.asynccontextmanager
async def embedded(
    registry: Registry, authorize: Authorize, *, handler_cancellation: bool = False
) -> AsyncIterator[Couch]:
    """The embedded store behind its HTTP API, on a free port of the loopback interface."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    replicator = Replicator(registry)
    app.add_routes(couch_routes(registry, authorize, prefix="/db", replicator=replicator))
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=5, handler_cancellation=handler_cancellation
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    await replicator.start(f"http://127.0.0.1:{port}/db")
    try:
        async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as session:
            yield Couch(f"http://127.0.0.1:{port}/db", session)
    finally:
        await replicator.stop()
        registry.stop_feeds()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def embedded_in(directory: Path, authorize: Authorize) -> AsyncIterator[Couch]:
    """The embedded store on an empty directory."""
    registry = Registry(directory)
    try:
        async with embedded(registry, authorize) as couch:
            yield couch
    finally:
        await registry.close()


@contextlib.asynccontextmanager
async def apache(url: str) -> AsyncIterator[Couch]:
    """A running Apache CouchDB, `http://user:password@host:port`."""
    address = URL(url)
    token = base64.b64encode(f"{address.user or ''}:{address.password or ''}".encode()).decode()
    headers = {"Accept": "application/json", "Authorization": f"Basic {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Couch(str(address.with_user(None)).rstrip("/"), session)


@contextlib.asynccontextmanager
async def fresh_database(couch: Couch) -> AsyncIterator[Db]:
    """An empty database, gone afterwards. One shard: the order of its feed is the order of the writes."""
    name = f"contract-{uuid.uuid4().hex}"
    (await couch.call("PUT", f"/{name}", query={"q": "1"})).ok(201)
    yield Db(f"{couch.base}/{name}", couch.session, name)
    await couch.delete(f"/{name}")

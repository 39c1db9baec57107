"""The real application as its callers meet it: who calls, with what, and what came back."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import psycopg
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient
from multidict import CIMultiDictProxy
from psycopg.rows import namedtuple_row
from sqlalchemy import Engine
from yarl import URL

from replication.client import CouchClient
from reporting.engine import sync_engine
from reporting.sites import database_of
from sync_server.identity.device_credentials import SigningKey, mint_service_token
from sync_server.identity.devices import EnrolledRole, enrol, revoke
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.keys import KNOWN_CREDENTIALS, SETTINGS
from sync_server.store_client import StoreLogin, store_login


class Answer(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """(status, error), once CouchDB's shape of an error is checked."""
        told = self.json
        assert set(told) == {"error", "reason"}, told
        assert told["reason"]
        assert self.headers["Content-Type"].startswith("application/json")
        return self.status, told["error"]


class Receipt(NamedTuple):
    """An entry of the ingest log."""

    doc_id: str
    rev: str
    outcome: str
    device: str
    role: str
    request_id: str
    reason: str | None
    original: bytes | None


class Gateway:
    """The application on real servers; paths are percent-encoded and begin below `/db`."""

    def __init__(self, app: web.Application, client: TestClient[Any, Any]) -> None:
        self.app = app
        self._client = client
        self._key: SigningKey = load_or_create_signing_key(app[SETTINGS].data_dir)
        self.service = mint_service_token(
            self._key, service="test", now=datetime.now(UTC), credential_id="service"
        )

    def store_client(self, http: ClientSession) -> CouchClient:
        """The site databases as the system's own processes ask them."""
        return CouchClient(http, self.store_login.base, headers=self.store_login.headers)

    @property
    def store_login(self) -> StoreLogin:
        """Where the site databases are, and as whom the system's own processes ask them."""
        return store_login(self.app[SETTINGS].feed_url, self._key, service="test")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, for requests that no client would make."""
        return "127.0.0.1", int(self._client.port or 0)

    async def open_site(self, site: str) -> str:
        """Create a site's database; its name."""
        # One shard: the order of its feed is the order of the writes.
        answer = await self.call("PUT", f"/{database_of(site)}", token=self.service, query={"q": "1"})
        assert answer.status == 201, answer.body
        return database_of(site)

    async def enrol(self, site: str, device: str, *, role: EnrolledRole = "tablet") -> str:
        """Enrol a device; its token, which opens from now on."""
        with self.database() as engine, engine.begin() as connection:
            enrolled = enrol(
                connection,
                self._key,
                site=site,
                device=device,
                role=role,
                now=datetime.now(UTC),
                credential_id=uuid.uuid4().hex,
            )
        await self.app[KNOWN_CREDENTIALS].refresh()
        return enrolled.token

    async def revoke(self, site: str, device: str) -> None:
        """Revoke a device; the gateway knows when this returns."""
        with self.database() as engine, engine.begin() as connection:
            assert revoke(connection, site=site, device=device) == 1
        await self.app[KNOWN_CREDENTIALS].refresh()

    @contextmanager
    def database(self) -> Iterator[Engine]:
        """An engine on the application's Postgres."""
        engine = sync_engine(self.app[SETTINGS].database_url)
        try:
            yield engine
        finally:
            engine.dispose()

    def receipts(self, site: str) -> list[Receipt]:
        """What the ingest log has of a site, by id, revision and outcome."""
        query = (
            "SELECT doc_id, rev, outcome, device, role, request_id, reason, original FROM ingest_log"
            " WHERE site = %s ORDER BY doc_id, rev, outcome"
        )
        with psycopg.connect(self.app[SETTINGS].database_url, row_factory=namedtuple_row) as connection:
            return [Receipt(*row) for row in connection.execute(query, [site])]

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. `body` is sent as JSON, `data` as it is."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        base = str(self._client.make_url("/db"))
        url = URL(base + path + (f"?{urlencode(query)}" if query else ""), encoded=True)
        async with self._client.session.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def push(self, database: str, *docs: Mapping[str, Any], token: str, **headers: str) -> Any:
        """Replicate documents in; the rows of those that were not stored."""
        answer = await self.call(
            "POST",
            f"/{database}/_bulk_docs",
            token=token,
            body={"new_edits": False, "docs": docs},
            headers=headers,
        )
        assert answer.status == 201, answer.body
        return answer.json

    async def stored(self, database: str) -> list[str]:
        """The ids of the live documents in a database."""
        answer = await self.call("GET", f"/{database}/_all_docs", token=self.service)
        return [row["id"] for row in answer.json["rows"]]


def session(name: str, rev: str = "1-aa", **members: Any) -> dict[str, Any]:
    """A replicated session document; whether it is a good one is none of the gateway's business."""
    return {"_id": f"session:{name}", "_rev": rev, "type": "session", **members}

"""The hub's store for the hub itself: the CouchDB API on loopback, with everything allowed.

Replication and erasure speak that API, and no tablet's credential opens what they need. So the same store is
mounted a second time, on a port of its own that only this machine reaches, behind a secret that is made at
each start and leaves the process nowhere. What was erased is refused here too: a publication may be on its
way from the centre while it is erased, and would come in after the purge.
"""

import hmac
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from replication.client import CouchClient
from replication.errors import Unauthorized
from replication.http.access import Access, FullAccess, Operation
from replication.http.intake import MAX_REQUEST_BYTES, Room
from replication.http.server import couch_routes
from replication.replicator.definition import Endpoint
from replication.replicator.peer import Peer
from replication.store.registry import Registry
from replication.wire.decode import Incoming, Refusal
from reporting.erasure.names import REASON
from sync_server.hub.erased import Erased

_HOST = "127.0.0.1"


class PrivateStore:
    """The open door. `base` is the URL below which the databases are."""

    def __init__(self, session: aiohttp.ClientSession, base: str, headers: Mapping[str, str]) -> None:
        self._session = session
        self._base = base
        self._headers = headers
        self.client = CouchClient(session, base, headers=lambda: headers)

    def endpoint(self, database: str) -> Endpoint:
        """One side of a replication; shown by its name, since the port is another one after each start."""
        return Endpoint(
            f"{self._base}/{database}", database=database, headers=tuple(sorted(self._headers.items()))
        )

    def peer(self, database: str) -> Peer:
        """One side of a replication, to be asked."""
        return Peer(self._session, self.endpoint(database))


class OwnAccess(FullAccess):
    """Everything but what was erased."""

    def __init__(self, erased: Erased) -> None:
        self._erased = erased

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002 (the interface's)
        """Refuse what was erased, and what cannot be read."""
        return [
            Refusal("forbidden", REASON) if self._erased.has(each.id, each.rev) else each.refusal
            for each in docs
        ]


@asynccontextmanager
async def private_store(registry: Registry, erased: Erased, *, memory_mb: int) -> AsyncIterator[PrivateStore]:
    """Open it until the end of the block."""
    secret = f"Bearer {secrets.token_urlsafe(32)}"

    async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:  # noqa: ARG001
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), secret.encode()):
            raise Unauthorized("this port is the hub's own")
        return OwnAccess(erased)

    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.add_routes(couch_routes(registry, authorize, room=Room(memory_mb * 1024 * 1024)))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, 0)
        await site.start()
        port = runner.addresses[0][1]
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield PrivateStore(session, f"http://{_HOST}:{port}", {"authorization": secret})
    finally:
        await runner.cleanup()

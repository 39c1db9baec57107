"""The gateway with another server of the CouchDB API behind it, as a server of the contract."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from replication.client import Headers
from replication.http.access import Authorize
from replication.http.intake import MAX_REQUEST_BYTES
from replication.upstream.exchange import Upstream
from replication.upstream.server import upstream_routes
from tests.contract.couch import Couch


@contextlib.asynccontextmanager
async def gateway_before(
    base: str, authorize: Authorize, *, headers: Headers = dict, upstream: Upstream | None = None
) -> AsyncIterator[Couch]:
    """A gateway on a free port of the loopback interface, before the server at `base`."""
    behind = upstream or Upstream()
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.add_routes(upstream_routes(behind, authorize, prefix="/db"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await behind.start(base, headers)
    try:
        async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as session:
            yield Couch(f"http://127.0.0.1:{runner.addresses[0][1]}/db", session)
    finally:
        behind.stop_feeds()
        await runner.cleanup()
        await behind.stop()

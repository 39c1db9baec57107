"""The embedded store of a stopped deployment, behind its HTTP API on a socket that nobody else can reach.

A restore writes through the protocol, as a tablet does, and neither the gateway nor its ingest log belong
between a backup and the store: what is restored is on record already.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from replication.dump.place import Place
from replication.http.access import allow_everything
from replication.http.intake import MAX_REQUEST_BYTES
from replication.http.server import couch_routes
from replication.store.registry import Registry

_TIMEOUT = aiohttp.ClientTimeout(total=600)


@asynccontextmanager
async def private_store(directory: Path) -> AsyncIterator[Place]:
    """The store in `directory`, served until the end. Raises DirectoryInUse, OSError."""
    registry = Registry(directory)
    try:
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(couch_routes(registry, allow_everything))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        try:
            # Its own directory is 0700, and its path is short enough for a socket.
            with tempfile.TemporaryDirectory(prefix="metricis-restore-") as sockets:
                path = str(Path(sockets, "store"))
                await web.UnixSite(runner, path).start()
                connector = aiohttp.UnixConnector(path)
                async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
                    yield Place(session, "http://store", dict)
        finally:
            registry.stop_feeds()
            await runner.cleanup()
    finally:
        await registry.close()

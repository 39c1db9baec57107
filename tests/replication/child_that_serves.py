"""A server process to be killed: a store with its replicator on a port of the loopback interface.

python -m tests.replication.child_that_serves DIRECTORY PORT
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from replication.http.access import allow_everything
from replication.http.intake import MAX_REQUEST_BYTES
from replication.http.server import couch_routes
from replication.replicator.replicator import Replicator
from replication.store.registry import Registry


async def main(directory: Path, port: int) -> None:
    """Serve until killed."""
    registry = Registry(directory)
    replicator = Replicator(registry)
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.add_routes(couch_routes(registry, allow_everything, prefix="/db", replicator=replicator))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    await replicator.start(f"http://127.0.0.1:{port}/db")
    print("serving", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

"""`python -m benchmarks.store_server DIRECTORY`: this store behind its HTTP API in a process of its own.

Prints its base URL when it is ready and serves until it is told to stop. Everybody may do everything: it is
for measuring, on the loopback interface.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path

import structlog
from aiohttp import web

from replication.http.access import allow_everything
from replication.http.collector import collect_seldom
from replication.http.intake import MAX_REQUEST_BYTES
from replication.http.server import couch_routes
from replication.store.registry import Registry


async def serve(directory: Path) -> None:
    """Serve the databases below the directory until SIGTERM or SIGINT."""
    registry = Registry(directory)
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.add_routes(couch_routes(registry, allow_everything))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    registry.stop_feeds()
    await runner.cleanup()
    await registry.close()


if __name__ == "__main__":
    # Clients that hang up are part of the load, and nobody reads what would be said of them.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    collect_seldom()
    asyncio.run(serve(Path(sys.argv[1])))

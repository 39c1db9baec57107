"""A projector in a process of its own, which a test may kill or pause.

python -m tests.projection.child_that_projects DATABASE_URL STORE_URL
"""

import asyncio
import sys

import aiohttp

from replication.client import CouchClient
from reporting.projection.pump import Pump
from sync_server.feed import CouchFeed


async def main(database_url: str, store_url: str) -> None:
    """Project until killed; every log line goes to standard output."""
    async with aiohttp.ClientSession() as session:
        pump = Pump(CouchFeed(CouchClient(session, store_url)), database_url, look_seconds=0.2)
        await pump.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""What other tools do with a feed: read it a page at a time and copy the bodies into one JSONB table.

As simple as such a tool can be: `_changes`, `_bulk_get` of the same documents, one COPY, the position in the
same transaction. Nothing is decoded beyond what it takes to find the bodies, nothing overlaps.
"""

import asyncio
import time
from collections.abc import Sequence

import aiohttp
import psycopg

from replication.client import CouchClient
from replication.values import Leaf

CREATE = "CREATE TABLE raw_positions (database text PRIMARY KEY, since text NOT NULL)"
_NOTE = (
    "INSERT INTO raw_positions VALUES (%s, %s) ON CONFLICT (database) DO UPDATE SET since = excluded.since"
)


def copy_feeds(base: str, databases: Sequence[str], database_url: str, *, batch: int) -> float:
    """Seconds from the first request to the last commit."""

    async def copy() -> None:
        async with aiohttp.ClientSession() as http:
            client = CouchClient(http, base)
            with psycopg.connect(database_url) as connection:
                for database in databases:
                    await _copy_feed(client, database, connection, batch)

    started = time.perf_counter()
    asyncio.run(copy())
    return time.perf_counter() - started


async def _copy_feed(client: CouchClient, database: str, connection: psycopg.Connection, batch: int) -> None:
    since = "0"
    while (page := await client.changes(database, since, limit=batch)).changes:
        wanted = [(change.id, change.revs[0]) for change in page.changes]
        leaves = await client.bulk_get(database, wanted)
        with connection.cursor().copy("COPY raw_bodies FROM STDIN") as copy:
            copy.write(b"".join(map(_line, leaves)))
        connection.execute(_NOTE, [database, page.last_seq])
        connection.commit()
        since = page.last_seq


def _line(leaf: Leaf) -> bytes:
    return b"\t".join((leaf.id.encode(), leaf.rev.encode(), leaf.body.replace(b"\\", b"\\\\"))) + b"\n"

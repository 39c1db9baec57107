"""Feeds that wait: for the first change (`longpoll`), or for ever for the next one (`continuous`,
`eventsource`).

    what happens                               what follows
    ---------------------------------------    ----------------------------------------------------------
    a change that the caller may see           its row; a long poll ends with it
    a change that the caller may not see       nothing
    the limit is reached                       the feed ends with its last sequence
    no change until the timeout                the same
    the server stops, the database is gone     the same, at once
    the client goes away                       noticed when something is written, or after LOOK_SECONDS
    the credential is revoked, or has expired  no row more: 401, or a cut connection where rows are out
                                               already; noticed before a row goes out, or after LOOK_SECONDS
"""

import asyncio

from replication.http.access import Operation
from replication.http.call import Call
from replication.http.feed_rows import FeedRows
from replication.http.streaming import ConnectionCut, JsonStream
from replication.store.database import Database

LOOK_SECONDS = 15.0
"""How long a wait goes on before it looks whether its client is still there, and still allowed to be."""


class Waiting:
    """One client's wait for changes that it may see. Times are in seconds."""

    def __init__(
        self, call: Call, database: Database, out: JsonStream, *, timeout: float, heartbeat: float | None
    ) -> None:
        self._call = call
        self._database = database
        self._out = out
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._clock = asyncio.get_running_loop().time

    @property
    def _closing(self) -> bool:
        return self._call.registry.closing or self._database.closed

    async def until_change(self, rows: FeedRows) -> None:
        """Return when visible changes were written, at the timeout, or when database or server close.

        What was invisible on the way need not be looked at again. Raises ConnectionCut, Unauthorized,
        Forbidden.
        """
        deadline = self._clock() + self._timeout
        while not self._closing:
            seen = self._database.changed.count
            found = await rows.next_slice()
            await rows.write(found)
            if found.rows:
                return
            # At once, as CouchDB does: the client learns that it was understood.
            await self._beat(rows)
            if not await self._something_happens(rows, seen, deadline):
                return
            await self._still_allowed()

    async def follow(self, rows: FeedRows) -> None:
        """Write changes as they come, until the limit or as `until_change`."""
        await self._out.flush()
        deadline, first = self._clock() + self._timeout, True
        while rows.left > 0 and not self._closing:
            seen = self._database.changed.count
            found = await rows.next_slice()
            if found.rows:
                if not first:
                    await self._still_allowed()
                deadline = self._clock() + self._timeout
            await rows.write(found)
            await self._out.flush()
            if found.complete and rows.left > 0:
                first = False
                if not await self._something_happens(rows, seen, deadline):
                    return

    async def _something_happens(self, rows: FeedRows, seen: int, deadline: float) -> bool:
        """Whether the database changed after `seen` and before the deadline."""
        beat = self._heartbeat or float("inf")
        begun = self._clock()
        next_beat, next_look = begun + beat, begun + LOOK_SECONDS
        while (now := self._clock()) < deadline and not self._closing:
            if now >= next_beat:
                await self._beat(rows)
                next_beat = now + beat
            if now >= next_look:
                await self._still_allowed()
                next_look = now + LOOK_SECONDS
            if self._out.client_is_gone:
                raise ConnectionCut("the client went away while it was waiting")
            if await self._database.changed.wait(seen, min(deadline, next_beat, next_look) - now):
                return True
        return False

    async def _beat(self, rows: FeedRows) -> None:
        if self._heartbeat is not None:
            await rows.heartbeat()

    async def _still_allowed(self) -> None:
        await self._call.authorize(Operation.READ_FEED)

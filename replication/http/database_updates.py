"""`_db_updates`: which databases were created, changed or deleted, at once or as it happens.

A hint for those who follow many databases: a database is shown once, at its last event. The feeds are framed
as those of `_changes`.
"""

import asyncio

import msgspec
from aiohttp import web

from replication.errors import BadRequest
from replication.http.access import Operation
from replication.http.answers import UNLIMITED, number
from replication.http.call import Call
from replication.http.feed_rows import CONTINUOUS, EVENTS, LISTED, Frame
from replication.http.streaming import ConnectionCut, JsonStream
from replication.store.updates import DatabaseEvent, DatabaseUpdates

DEFAULT_TIMEOUT_MS = 60_000
LOOK_SECONDS = 15.0
"""How long a wait goes on before it looks whether its client is still there, and still allowed to be."""

_FRAMES = {"normal": LISTED, "longpoll": LISTED, "continuous": CONTINUOUS, "eventsource": EVENTS}


async def db_updates(call: Call) -> web.StreamResponse:
    """`GET /_db_updates` with `feed`, `since`, `timeout`, `heartbeat`."""
    query = call.request.query
    feed = query.get("feed", "normal")
    if feed not in _FRAMES:
        raise BadRequest(f"Supported `feed` types: {', '.join(_FRAMES)}")
    updates = call.registry.updates
    since = updates.since(query.get("since", "0"))
    timeout_ms = number(query.get("timeout"), "timeout", default=DEFAULT_TIMEOUT_MS)
    heartbeat_ms = None
    if query.get("heartbeat", "false") != "false":
        default = DEFAULT_TIMEOUT_MS if query["heartbeat"] == "true" else None
        heartbeat_ms = default or max(1, number(query["heartbeat"], "heartbeat", default=0))
        timeout_ms = UNLIMITED
    frame = _FRAMES[feed]
    async with JsonStream(call.request, content_type=frame.content_type) as out:
        following = _Following(call, updates, out, frame, since)
        await out.write(frame.begin)
        waits = feed != "normal" and timeout_ms > 0 and call.request.method != "HEAD"
        if waits and frame is not LISTED:
            await out.flush()
        await following.write()
        while waits and not (frame is LISTED and following.wrote):
            beat = None if heartbeat_ms is None else heartbeat_ms / 1000
            if not await following.next_event(timeout_ms / 1000, beat):
                break
            await following.write()
        if frame.end is not None:
            last = msgspec.json.encode({"last_seq": updates.sequence(following.since)})
            await out.write(frame.end + last[1:] + b"\n")
        return await out.finish()


class _Following:
    """One client, and the event that it saw last."""

    def __init__(
        self, call: Call, updates: DatabaseUpdates, out: JsonStream, frame: Frame, since: int
    ) -> None:
        self._call = call
        self._updates = updates
        self._out = out
        self._frame = frame
        self.since = since
        self.wrote = False

    async def write(self) -> None:
        """Write what happened since the last time."""
        rows = [self._row(event) for event in self._updates.after(self.since)]
        if rows:
            await self._out.write(self._frame.between.join(rows))
            self.since = self._updates.number
            self.wrote = True
        if self._frame is not LISTED:
            await self._out.flush()

    def _row(self, event: DatabaseEvent) -> bytes:
        seq = msgspec.json.encode(self._updates.sequence(event.number))
        row = msgspec.json.encode({"db_name": event.name, "type": event.kind, "seq": msgspec.Raw(seq)})
        event_id = b"\nid: " + seq if self._frame.tells_id else b""
        return self._frame.before + row + event_id + self._frame.after

    async def next_event(self, timeout_seconds: float, heartbeat_seconds: float | None) -> bool:
        """Whether there is an event before the time is up, or the server stops. Raises ConnectionCut,
        Unauthorized, Forbidden.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        changed = self._call.registry.changed
        while (left := deadline - clock()) > 0 and not self._call.registry.closing:
            if self._updates.number > self.since:
                await self._call.authorize(Operation.DATABASE_UPDATES)
                return True
            seconds = min(left, LOOK_SECONDS, heartbeat_seconds or LOOK_SECONDS)
            if await changed.wait(changed.count, seconds):
                continue
            await self._call.authorize(Operation.DATABASE_UPDATES)
            if self._out.client_is_gone:
                raise ConnectionCut("the client went away while it was waiting")
            if heartbeat_seconds is not None:
                await self._out.write(self._frame.heartbeat)
                await self._out.flush()
        return False

"""`_changes`: what changed since a sequence, at once (`normal`), when there is something (`longpoll`), or for
as long as the client listens (`continuous`, `eventsource`).

A feed shows what its caller may see, and `limit` counts rows after that filter: a client takes an empty
page for the end of the feed, so a page must never be empty only because its rows were filtered away.
"""

import msgspec
from aiohttp import web

from replication.errors import BadRequest
from replication.http.answers import UNLIMITED, flag, number, read_json
from replication.http.call import Call
from replication.http.documents import ReadOptions
from replication.http.feed_filters import FilterBody, selection
from replication.http.feed_rows import CONTINUOUS, EVENTS, LISTED, FeedRows, Frame, Shape
from replication.http.feed_waiting import Waiting
from replication.http.streaming import JsonStream
from replication.store.database import Database

_LONGEST_INTERVAL = 15
"""Digits, as of every other number in a URL."""
DEFAULT_TIMEOUT_MS = 60_000


class _Options(msgspec.Struct, frozen=True):
    since: int
    limit: int
    frame: Frame
    shape: Shape
    waits: bool
    timeout_seconds: float
    heartbeat_seconds: float | None


async def changes(call: Call) -> web.StreamResponse:
    """`GET` and `POST /{db}/_changes`."""
    database = await call.database()
    options = await _options(call, database)
    frame = options.frame
    async with JsonStream(call.request, content_type=frame.content_type) as out:
        rows = FeedRows(database, out, frame, options.shape, since=options.since, limit=options.limit)
        waiting = Waiting(
            call, database, out, timeout=options.timeout_seconds, heartbeat=options.heartbeat_seconds
        )
        await rows.begin()
        if options.waits and frame is not LISTED:
            await waiting.follow(rows)
        else:
            if options.waits:
                await waiting.until_change(rows)
            await rows.write_all()
        await rows.end()
        return await out.finish()


_FRAMES = {
    "normal": LISTED,
    "longpoll": LISTED,
    "continuous": CONTINUOUS,
    "live": CONTINUOUS,
    "eventsource": EVENTS,
}


async def _options(call: Call, database: Database) -> _Options:
    query = call.request.query
    feed = query.get("feed", "normal")
    if feed not in _FRAMES:
        raise BadRequest(f"Supported `feed` types: {', '.join(_FRAMES)}")
    style = query.get("style", "main_only")
    if style not in ("main_only", "all_docs"):
        raise BadRequest(f"Unknown style: {style!r}")
    body = await read_json(call.request, FilterBody) if call.request.method == "POST" else FilterBody()
    descending = flag(call.request, "descending")
    heartbeat_ms = _heartbeat_ms(query.get("heartbeat"))
    timeout_ms = number(query.get("timeout"), "timeout", default=DEFAULT_TIMEOUT_MS)
    if heartbeat_ms is not None:
        # The client trusts the connection and lets it stay open.
        timeout_ms = UNLIMITED
    limit = number(query.get("limit"), "limit", default=UNLIMITED)
    waits = feed != "normal" and limit > 0 and not descending and call.request.method != "HEAD"
    shape = Shape(
        descending=descending,
        all_leaves=style == "all_docs",
        include_docs=flag(call.request, "include_docs"),
        seq_interval=_seq_interval(query.get("seq_interval", "1")),
        selection=await selection(call, body, every_leaf=style == "all_docs"),
        reading=ReadOptions(
            conflicts=flag(call.request, "conflicts"),
            attachments=flag(call.request, "attachments"),
            att_encoding_info=flag(call.request, "att_encoding_info"),
        ),
    )
    since = await database.since(_since(call.request, feed))
    return _Options(
        # From the newest to the first one, as CouchDB: where the client was is no end of it.
        since=0 if descending else since,
        limit=limit,
        frame=_FRAMES[feed],
        shape=shape,
        waits=waits and timeout_ms > 0,
        timeout_seconds=timeout_ms / 1000,
        heartbeat_seconds=None if heartbeat_ms is None else heartbeat_ms / 1000,
    )


def _since(request: web.Request, feed: str) -> str:
    # A browser that connects again repeats the URL; where it was comes in the header, and counts more.
    seen = request.headers.get("Last-Event-ID") if feed == "eventsource" else None
    return seen or request.query.get("since", request.query.get("last-event-id", "0"))


def _seq_interval(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_INTERVAL and int(text)):
        raise BadRequest("invalid_seq_interval")
    return int(text)


def _heartbeat_ms(text: str | None) -> int | None:
    if text in (None, "true"):
        return None if text is None else DEFAULT_TIMEOUT_MS
    beat = number(text, "heartbeat", default=0)
    if beat == 0:
        raise BadRequest("The heartbeat value should be a positive integer (in milliseconds).")
    return beat

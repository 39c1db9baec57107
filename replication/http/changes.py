"""`_changes`: what changed since a sequence, at once (`normal`) or when there is something (`longpoll`).

A feed shows what its caller may see, and `limit` counts rows after that filter: a client takes an empty
page for the end of the feed, so a page must never be empty only because its rows were filtered away.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotImplementedHere
from replication.http.answers import UNLIMITED, flag, number, read_json
from replication.http.call import Call
from replication.http.documents import ReadOptions, readable_json
from replication.http.streaming import ConnectionCut, JsonStream
from replication.mango.refusal import QueryRefused
from replication.mango.selector import parse_selector
from replication.store.database import Database
from replication.store.reading import BEYOND_EVERY_SEQUENCE, FeedRow, Selection
from replication.store.selecting import LeafSelector
from replication.values import Rev

DEFAULT_TIMEOUT_MS = 60_000
PAGE = 1_000
LOOK_SECONDS = 15.0
"""How long a wait goes on before it looks whether its client is still there."""


class _Body(msgspec.Struct):
    doc_ids: list[str] | None = None
    selector: Any = None


class _Options(msgspec.Struct, frozen=True):
    since: int
    limit: int
    descending: bool
    all_leaves: bool
    include_docs: bool
    wait_seconds: float
    heartbeat_seconds: float | None
    selection: Selection
    reading: ReadOptions


async def changes(call: Call) -> web.StreamResponse:
    """`GET` and `POST /{db}/_changes`."""
    database = await call.database()
    options = await _options(call, database)
    async with JsonStream(call.request) as out:
        await out.write(b'{"results":[\n')
        since = options.since
        if options.wait_seconds:
            since = await _Waiting(call, database, options, out).until_change()
        if database.closed:
            last_seq, pending = since, 0
        else:
            last_seq, pending = await _write_rows(database, since, options, out)
        last = {"last_seq": database.sequence(last_seq), "pending": pending}
        await out.write(b"\n],\n" + msgspec.json.encode(last)[1:] + b"\n")
        return await out.finish()


async def _options(call: Call, database: Database) -> _Options:
    query = call.request.query
    feed = query.get("feed", "normal")
    if feed in ("continuous", "live", "eventsource"):
        raise NotImplementedHere(f"feed={feed} is not served; use longpoll")
    if feed not in ("normal", "longpoll"):
        raise BadRequest("Supported `feed` types: normal, longpoll")
    style = query.get("style", "main_only")
    if style not in ("main_only", "all_docs"):
        raise BadRequest(f"Unknown style: {style!r}")
    body = await read_json(call.request, _Body) if call.request.method == "POST" else _Body()
    descending = flag(call.request, "descending")
    heartbeat_ms = _heartbeat_ms(query.get("heartbeat"))
    # With a heartbeat the client trusts the connection and lets it stay open.
    default_ms = DEFAULT_TIMEOUT_MS if heartbeat_ms is None else UNLIMITED
    timeout_ms = number(query.get("timeout"), "timeout", default=default_ms)
    limit = number(query.get("limit"), "limit", default=UNLIMITED)
    waits = feed == "longpoll" and limit > 0 and not descending and call.request.method != "HEAD"
    return _Options(
        since=await database.since(query.get("since", query.get("last-event-id", "0"))),
        limit=limit,
        descending=descending,
        all_leaves=style == "all_docs",
        include_docs=flag(call.request, "include_docs"),
        wait_seconds=timeout_ms / 1000 if waits else 0,
        heartbeat_seconds=None if heartbeat_ms is None else heartbeat_ms / 1000,
        selection=_selection(call, body, every_leaf=style == "all_docs"),
        reading=ReadOptions(
            conflicts=flag(call.request, "conflicts"), attachments=flag(call.request, "attachments")
        ),
    )


def _heartbeat_ms(text: str | None) -> int | None:
    if text in (None, "true"):
        return None if text is None else DEFAULT_TIMEOUT_MS
    beat = number(text, "heartbeat", default=0)
    if beat == 0:
        raise BadRequest("The heartbeat value should be a positive integer (in milliseconds).")
    return beat


def _selection(call: Call, body: _Body, *, every_leaf: bool) -> Selection:
    query = call.request.query
    if query.get("filter") != "_selector":
        return Selection(call.access.prefixes, _doc_ids(query.get("filter"), query.get("doc_ids"), body))
    if call.request.method != "POST":
        raise BadRequest("Selector must be specified in POST payload")
    try:
        node = parse_selector(body.selector)
    except QueryRefused as error:
        raise BadRequest(f"Selector error: {error.reason}") from error
    return Selection(call.access.prefixes, selector=LeafSelector(node, every_leaf=every_leaf))


def _doc_ids(filter_name: str | None, in_query: str | None, body: _Body) -> tuple[str, ...] | None:
    if filter_name is None:
        return None
    if filter_name != "_doc_ids":
        raise NotImplementedHere("only filter=_doc_ids and filter=_selector are served")
    ids = body.doc_ids
    if ids is None and in_query is not None:
        try:
            ids = msgspec.json.decode(in_query, type=list[str])
        except (ValueError, RecursionError) as error:
            raise BadRequest("`doc_ids` filter parameter is not a JSON array of ids.") from error
    if ids is None:
        raise BadRequest("`doc_ids` filter parameter is missing.")
    return tuple(ids)


class _Waiting:
    """One client's wait for a change that it may see."""

    def __init__(self, call: Call, database: Database, options: _Options, out: JsonStream) -> None:
        self._call = call
        self._database = database
        self._options = options
        self._out = out
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + options.wait_seconds

    @property
    def _closing(self) -> bool:
        return self._call.registry.closing or self._database.closed

    async def until_change(self) -> int:
        """Return when there is a visible change, at the timeout, or when the database or the server closes.

        The result is where to read from: what was invisible on the way need not be looked at again. Raises
        ConnectionCut.
        """
        since = self._options.since
        while not self._closing:
            seen = self._database.changed.count
            found = await self._database.feed(since, 1, self._options.selection)
            if found.rows:
                break
            since = found.last_seq
            # At once, as CouchDB does: the client learns that it was understood.
            await self._beat()
            if not await self._something_happens(seen):
                break
        return since

    async def _something_happens(self, seen: int) -> bool:
        """Whether the database changed after `seen` and before the deadline."""
        beat = self._options.heartbeat_seconds or float("inf")
        next_beat = self._clock() + beat
        while (now := self._clock()) < self._deadline and not self._closing:
            if now >= next_beat:
                await self._beat()
                next_beat = now + beat
            if self._out.client_is_gone:
                raise ConnectionCut("the client went away while it was waiting")
            seconds = min(self._deadline, next_beat, now + LOOK_SECONDS) - now
            if await self._database.changed.wait(seen, seconds):
                return True
        return False

    async def _beat(self) -> None:
        if self._options.heartbeat_seconds is not None:
            await self._out.write(b"\n")
            await self._out.flush()


async def _write_rows(database: Database, since: int, options: _Options, out: JsonStream) -> tuple[int, int]:
    """Write the rows page by page, each page one consistent state; the last sequence and what is pending."""
    before, left, first = BEYOND_EVERY_SEQUENCE, options.limit, True
    while left > 0:
        page = min(left, PAGE)
        if options.descending:
            slice_ = await database.feed_backwards(since, before, page, options.selection)
            before = slice_.last_seq
        else:
            slice_ = await database.feed(since, page, options.selection)
            since = slice_.last_seq
        for row in slice_.rows:
            await out.write((b"" if first else b",\n") + await _line(database, row, options))
            first = False
        left -= len(slice_.rows)
        if len(slice_.rows) < page:
            return slice_.last_seq, 0
    pending = await database.count_changes(since, before, options.selection)
    return (since if before == BEYOND_EVERY_SEQUENCE else before), pending


async def _line(database: Database, row: FeedRow, options: _Options) -> bytes:
    leaves = row.leaves if options.all_leaves else b'[{"rev":"%s"}]' % row.rev.encode()
    line = b'{"seq":"%s","id":%s,"changes":%s' % (
        database.sequence(row.seq).encode(),
        msgspec.json.encode(row.id),
        leaves,
    )
    if row.deleted:
        line += b',"deleted":true'
    if options.include_docs:
        line += b',"doc":' + await _document(database, row, options.reading)
    return line + b"}"


async def _document(database: Database, row: FeedRow, reading: ReadOptions) -> bytes:
    wanted: Sequence[Rev] = [Rev.parse(row.rev)]
    tree, found = await database.revisions(row.id, lambda _: wanted)
    revision = found[0][1]
    return b"null" if revision is None else await readable_json(database, tree, revision, reading)

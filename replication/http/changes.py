"""`_changes`: what changed since a sequence, at once (`normal`) or when there is something (`longpoll`).

A feed shows what its caller may see, and `limit` counts rows after that filter: a client takes an empty
page for the end of the feed, so a page must never be empty only because its rows were filtered away.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotImplementedHere
from replication.http.answers import flag, number, read_json
from replication.http.call import Call
from replication.http.documents import ReadOptions, readable_json
from replication.store.database import Database
from replication.store.reading import FeedRow, FeedSlice, Selection
from replication.values import Rev

DEFAULT_TIMEOUT_MS = 60_000
MAX_ROWS = 100_000
"""Rows of one answer at most; a client goes on from its `last_seq`."""
PAGE = 1_000


class _Body(msgspec.Struct):
    doc_ids: list[str] | None = None


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
    response = web.StreamResponse(headers={"Cache-Control": "must-revalidate"})
    response.content_type = "application/json"
    if options.wait_seconds:
        await _wait(call, database, options, response)
    if not response.prepared:
        await response.prepare(call.request)
    await response.write(b'{"results":[\n')
    slice_ = await _write_rows(database, options, response)
    end = {"last_seq": database.sequence(slice_.last_seq), "pending": slice_.pending}
    await response.write(b"\n],\n" + msgspec.json.encode(end)[1:] + b"\n")
    await response.write_eof()
    return response


async def _options(call: Call, database: Database) -> _Options:
    query = call.request.query
    feed = query.get("feed", "normal")
    if feed not in ("normal", "longpoll"):
        raise NotImplementedHere(f"feed={feed} is not served; use longpoll")
    style = query.get("style", "main_only")
    if style not in ("main_only", "all_docs"):
        raise BadRequest(f"Unknown style: {style!r}")
    body = await read_json(call.request, _Body) if call.request.method == "POST" else _Body()
    since = query.get("since", query.get("last-event-id", "0"))
    update_seq = int((await database.meta())["update_seq"])
    descending = flag(call.request, "descending")
    heartbeat = query.get("heartbeat")
    timeout_ms = number(query.get("timeout"), "timeout", default=DEFAULT_TIMEOUT_MS)
    if heartbeat is not None and "timeout" not in query:
        # With a heartbeat the client trusts the connection and lets it stay open.
        timeout_ms = 24 * 3600 * 1000
    beat_ms = DEFAULT_TIMEOUT_MS if heartbeat == "true" else number(heartbeat, "heartbeat", default=0)
    return _Options(
        since=update_seq if since == "now" else database.since(since),
        # CouchDB reads limit=0 as 1.
        limit=max(1, min(number(query.get("limit"), "limit", default=MAX_ROWS), MAX_ROWS)),
        descending=descending,
        all_leaves=style == "all_docs",
        include_docs=flag(call.request, "include_docs"),
        wait_seconds=timeout_ms / 1000 if feed == "longpoll" and not descending else 0,
        heartbeat_seconds=beat_ms / 1000 if beat_ms else None,
        selection=Selection(call.access.prefixes, _doc_ids(query.get("filter"), query.get("doc_ids"), body)),
        reading=ReadOptions(
            conflicts=flag(call.request, "conflicts"), attachments=flag(call.request, "attachments")
        ),
    )


def _doc_ids(filter_name: str | None, in_query: str | None, body: _Body) -> tuple[str, ...] | None:
    if filter_name is None:
        return None
    if filter_name != "_doc_ids":
        raise NotImplementedHere(f"filter={filter_name} is not served; use _doc_ids")
    ids = body.doc_ids
    if ids is None and in_query is not None:
        try:
            ids = msgspec.json.decode(in_query, type=list[str])
        except msgspec.DecodeError as error:
            raise BadRequest("`doc_ids` filter parameter is not a JSON array of ids.") from error
    if ids is None:
        raise BadRequest("`doc_ids` filter parameter is missing.")
    return tuple(ids)


async def _wait(call: Call, database: Database, options: _Options, response: web.StreamResponse) -> None:
    """Return when there is a visible change, at the timeout, or when the server stops."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.wait_seconds
    since = options.since
    if options.heartbeat_seconds is not None:
        await response.prepare(call.request)
    while not call.registry.closing:
        seen = database.changed.count
        found = await database.feed(since, 1, options.selection)
        if found.rows:
            return
        since = found.last_seq
        while (left := deadline - loop.time()) > 0 and not call.registry.closing:
            beat = left if options.heartbeat_seconds is None else min(left, options.heartbeat_seconds)
            if await database.changed.wait(seen, beat):
                break
            if options.heartbeat_seconds is not None:
                await response.write(b"\n")
        else:
            return


async def _write_rows(database: Database, options: _Options, response: web.StreamResponse) -> FeedSlice:
    """Write the rows page by page, so that a long feed is never in memory as a whole."""
    since, left, first = options.since, options.limit, True
    while True:
        page = min(left, PAGE)
        slice_ = await database.feed(since, page, options.selection, descending=options.descending)
        lines = [await _line(database, row, options) for row in slice_.rows]
        if lines:
            await response.write((b"" if first else b",\n") + b",\n".join(lines))
            first = False
        left -= len(slice_.rows)
        since = slice_.last_seq
        if len(slice_.rows) < page or left <= 0 or options.descending:
            return slice_


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

"""`_changes`: streamed as it is to whoever sees everything, filtered for everybody else.

CouchDB filters, so that `limit` counts what the caller may see and heartbeats come while it skips the rest;
and every row is looked at once more on its way out (`feed_lines`).

    the caller asks for          CouchDB is asked for
    -------------------------    -------------------------------------------------------------
    no filter                    `_selector`: ids that begin as the caller may see them
    `_selector`                  that, and the caller's own
    `_doc_ids`                   those of them that the caller may see
    `_design`                    nothing: no such caller sees design documents
    `_view`, `design/name`       the same, where the caller may read that design document, else 403

    what happens                                 what follows
    -----------------------------------------    --------------------------------------------------------
    the client goes away, or is revoked          the feed of CouchDB is closed
    the credential expires                       as in the embedded store: no row more
    CouchDB is silent for longer than its        the connection is cut
    heartbeat or timeout, and SILENCE_SECONDS
    the process stops                            a feed that waits ends with its last sequence where that can
                                                 be told (`feed_lines`); every other one is cut
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotImplementedHere
from replication.http.access import Operation
from replication.http.answers import number, read_json
from replication.http.changes import DEFAULT_TIMEOUT_MS
from replication.http.feed_filters import DESIGN, FilterBody
from replication.http.intake import passed_on_pieces
from replication.http.streaming import Stream, cut
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import SILENCE_SECONDS, Ask, Exchange, Stopping
from replication.upstream.feed_lines import ContinuousLines, EventLines, Lines, ListedLines, LongpollLines
from replication.upstream.passing import answered_headers, asked_headers, json_headers, pass_back

_KINDS: Mapping[str, type[Lines]] = {
    "normal": ListedLines,
    "longpoll": LongpollLines,
    "continuous": ContinuousLines,
    "live": ContinuousLines,
    "eventsource": EventLines,
}
_LONGEST_BEAT_MS = 24 * 3600 * 1000


async def changes(call: UpstreamCall) -> web.StreamResponse:
    """`GET` and `POST /{db}/_changes`."""
    request = call.request
    if call.access.prefixes is None:
        return await _unfiltered(call)
    feed = request.query.get("feed", "normal")
    if feed not in _KINDS:
        raise BadRequest(f"Supported `feed` types: {', '.join(_KINDS)}")
    asked = await read_json(request, FilterBody) if request.method == "POST" else FilterBody()
    query, body = _restricted(call, call.access.prefixes, asked)
    if request.method == "HEAD":
        # Without the filter, which would be run, and without the wait for a change.
        head = Ask(method="HEAD", path=call.path, headers=asked_headers(request))
        async with call.upstream.exchange(request, head) as answer:
            return await pass_back(call, answer)
    ask = Ask(
        method="POST",
        path=call.path,
        query=urlencode(query),
        headers=asked_headers(request) | json_headers(),
        body=msgspec.json.encode(body),
        patience=_patience(request.query),
        waits=True,
        repeatable=True,
    )
    return await _relayed(call, ask, _KINDS[feed](call.access.may_read, _begins(request.query)))


async def database_updates(call: UpstreamCall) -> web.StreamResponse:
    """`GET /_db_updates`."""
    return await _unfiltered(call)


async def _unfiltered(call: UpstreamCall) -> web.StreamResponse:
    request = call.request
    ask = Ask(
        method=request.method,
        path=call.path,
        query=call.query,
        headers=asked_headers(request),
        body=passed_on_pieces(request) if request.body_exists else None,
        patience=_patience(request.query),
        waits=True,
    )
    return await _relayed(call, ask, None)


def _restricted(
    call: UpstreamCall, prefixes: Sequence[str], asked: FilterBody
) -> tuple[dict[str, str], dict[str, Any]]:
    """Query and body of what CouchDB is asked for. Raises BadRequest, Forbidden, NotImplementedHere."""
    # Of a parameter that comes twice, the first one counts here; so nothing else is passed on.
    given = {name: call.request.query[name] for name in call.request.query}
    query = {name: text for name, text in given.items() if name not in ("filter", "doc_ids", "selector")}
    visible = {"_id": {"$regex": "^(?:" + "|".join(map(re.escape, prefixes)) + ")"}} if prefixes else None
    match given.get("filter"):
        case "_doc_ids":
            ids = [doc_id for doc_id in _doc_ids(given, asked) if call.access.may_read(doc_id)]
            return query | {"filter": "_doc_ids"}, {"doc_ids": ids}
        case "_design":
            return query | {"filter": "_doc_ids"}, {"doc_ids": []}
        case None if visible is not None:
            return query | {"filter": "_selector"}, {"selector": visible}
        case "_selector" if visible is not None:
            if call.request.method != "POST":
                raise BadRequest("Selector must be specified in POST payload")
            if not isinstance(asked.selector, dict):
                raise BadRequest("Selector error: Selector must be a JSON object")
            return query | {"filter": "_selector"}, {"selector": {"$and": [visible, asked.selector]}}
        case None | "_selector":
            return query | {"filter": "_doc_ids"}, {"doc_ids": []}
        case "_view":
            name = given.get("view", "")
        case function:
            if function.startswith("_"):
                raise BadRequest("unknown builtin filter name")
            name = function
    call.check_readable(DESIGN + name.partition("/")[0])
    raise NotImplementedHere("filters by functions are for callers who see every document")


def _doc_ids(given: Mapping[str, str], asked: FilterBody) -> Sequence[str]:
    ids = asked.doc_ids
    if ids is None and "doc_ids" in given:
        try:
            ids = msgspec.json.decode(given["doc_ids"], type=list[str])
        except (ValueError, RecursionError) as error:
            raise BadRequest("`doc_ids` filter parameter is not a JSON array of ids.") from error
    if ids is None:
        raise BadRequest("`doc_ids` filter parameter is missing.")
    return ids


def _begins(query: Mapping[str, str]) -> bytes | None:
    """Where a feed begins, as JSON; None: at its end, wherever that is."""
    since = query.get("since", "0")
    return None if since == "now" or query.get("descending") == "true" else msgspec.json.encode(since)


def _patience(query: Mapping[str, str]) -> float:
    """For how long CouchDB may be silent, seconds."""
    beat = query.get("heartbeat")
    if beat == "true":
        beat = str(DEFAULT_TIMEOUT_MS)
    if beat is not None and beat.isascii() and beat.isdigit():
        told = min(number(beat, "heartbeat", default=0), _LONGEST_BEAT_MS)
    else:
        timeout = query.get("timeout", "")
        asked = number(timeout, "timeout", default=0) if timeout.isascii() and timeout.isdigit() else 0
        told = min(max(asked, DEFAULT_TIMEOUT_MS), _LONGEST_BEAT_MS)
    return told / 1000 + SILENCE_SECONDS


async def _relayed(call: UpstreamCall, ask: Ask, lines: Lines | None) -> web.StreamResponse:
    """The feed, as it is or (`lines`) what may be seen of it."""
    out: Stream | None = None
    try:
        async with call.upstream.exchange(call.request, ask) as answer:
            answer.check_login()
            if answer.status >= 400:
                raise await answer.failure()
            out = Stream(call.request, answered_headers(answer.response.headers), status=answer.status)
            async with out:
                return await _send(call, answer, out, lines)
    except Stopping as stopping:
        return await _stopped(call, out, lines, stopping)


async def _send(call: UpstreamCall, answer: Exchange, out: Stream, lines: Lines | None) -> web.StreamResponse:
    waits = call.request.query.get("feed", "normal") != "normal"
    operation = Operation.READ_FEED if call.database_name else Operation.DATABASE_UPDATES
    begun = False

    async def still_allowed() -> None:
        await call.authorize(operation)

    if waits:
        await out.flush()
    async for piece in answer.pieces(still_allowed if waits else None):
        if begun and waits:
            # What waited may have outlived its credential.
            await still_allowed()
        begun = True
        passed = piece if lines is None else lines.feed(piece)
        if passed:
            await out.write(passed)
            if waits:
                await out.flush()
    if lines is not None:
        await out.write(lines.close())
    return await out.finish()


async def _stopped(
    call: UpstreamCall, out: Stream | None, lines: Lines | None, stopping: Stopping
) -> web.StreamResponse:
    """The end of a feed that has to end now."""
    ending = None if lines is None else lines.ending()
    if ending is None or out is None:
        raise cut(call.request, "the server stops") from stopping
    await out.write(ending)
    return await out.finish()

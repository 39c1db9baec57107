"""A server before a real store that has the habits of a CouchDB cluster, each with a cause that is told.

| habit | cause in a cluster |
|---|---|
| sequences are texts or arrays, another one at each answer | they name nodes and shards |
| a feed begins earlier than it was asked to | a node was lost, and its copy's history with it |
| a row comes without one of its leaves, or not at all, and once more later | the copy is behind |
| a leaf that was named is `not_found` at first | the copies that answer have not got it yet |
| `_local` documents are the last but one at times | they are not brought to a copy that was away |
| 202 for a write | fewer copies than asked for |
| 429, 500, 503, before or after the request was served | limits, timeouts between nodes, maintenance |
| no `pending` | older servers |
| `_db_updates` and `_all_dbs` are refused, or `_db_updates` misses some | rights, and its own lag |
"""

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp import web

FAILURES = {429: "too_many_requests", 500: "timeout", 503: "service_unavailable"}


@dataclass
class Habits:
    """How often each shows, of 1; what is refused, and with which status."""

    opaque: bool = False
    as_arrays: bool = False
    rewinds: float = 0.0
    hides: float = 0.0
    unread: float = 0.0
    stale_local: float = 0.0
    accepted: bool = False
    fails: float = 0.0
    fails_after: float = 0.0
    """Of writes."""
    no_pending: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    """By endpoint, the status: `{"_db_updates": 401}`."""
    untold: float = 0.0
    """Names that `_db_updates` does not tell."""


class Quirky:
    """The server. `base` is where the store answers; `shown` counts each habit, so that a test can tell that
    it was there.
    """

    def __init__(self, base: str, session: aiohttp.ClientSession, habits: Habits, seed: int) -> None:
        self.habits = habits
        self.shown: Counter[str] = Counter()
        self._base = base
        self._session = session
        self._random = random.Random(seed)
        self._positions: dict[str, str] = {}
        """Each position that was told, and the store's."""
        self._again_from: dict[str, str] = {}
        """By database: what was hidden comes after this."""
        self._read_from: dict[str, list[str]] = {}
        self._local: dict[str, list[bytes]] = {}

    def _shows(self, habit: str, often: float) -> bool:
        does = self._random.random() < often
        self.shown[habit] += does
        return does

    async def serve(self, request: web.Request) -> web.Response:
        """Any request."""
        parts = [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]
        endpoint = parts[0] if parts[0] in ("_all_dbs", "_db_updates") else "/".join(parts[1:2])
        if status := self.habits.refused.get(endpoint):
            self.shown["refused"] += 1
            return _failure(status, "unauthorized" if status == 401 else "refused")
        if self._shows("fails", self.habits.fails):
            status = self._random.choice(sorted(FAILURES))
            return _failure(status, FAILURES[status])
        status, body = await self._forwarded(request, parts[0], endpoint)
        writes = request.method == "PUT" or endpoint == "_bulk_docs"
        if writes and self._shows("fails_after", self.habits.fails_after):
            return _failure(500, "timeout")
        if status < 400:
            body = self._changed(request, parts, endpoint, body)
        if self.habits.accepted and status == 201:
            self.shown["accepted"] += 1
            status = 202
        return web.Response(status=status, body=body, content_type="application/json")

    async def _forwarded(self, request: web.Request, database: str, endpoint: str) -> tuple[int, bytes]:
        query = dict(request.query)
        if "since" in query and endpoint in ("_changes", "_db_updates"):
            query["since"] = self._since(database, query["since"], rewinds=endpoint == "_changes")
        body = await request.read()
        headers = {"Content-Type": request.content_type} if body else {}
        if "Authorization" in request.headers:
            headers["Authorization"] = request.headers["Authorization"]
        url = self._base + request.rel_url.raw_path
        async with self._session.request(
            request.method, url, params=query, data=body or None, headers=headers
        ) as answer:
            return answer.status, await answer.read()

    def _since(self, database: str, told: str, *, rewinds: bool) -> str:
        if told not in self._positions and told not in ("0", "now") and self.habits.opaque:
            raise web.HTTPBadRequest(text='{"error":"bad_request","reason":"no position of this server"}')
        since = self._positions.get(told, told)
        if not rewinds:
            return since
        if (again := self._again_from.pop(database, None)) is not None:
            return again
        before = self._read_from.setdefault(database, ["0"])
        before.append(since)
        return self._random.choice(before[-3:]) if self._shows("rewinds", self.habits.rewinds) else since

    def _changed(self, request: web.Request, parts: list[str], endpoint: str, body: bytes) -> bytes:
        if endpoint == "_local":
            return self._of_local(request, "/".join(parts), body)
        if endpoint not in ("_changes", "_bulk_get", "_db_updates"):
            return body
        told = msgspec.json.decode(body)
        if endpoint == "_bulk_get":
            for row in told["results"]:
                row["docs"] = [self._of_leaf(row["id"], doc) for doc in row["docs"]]
            return msgspec.json.encode(told)
        if endpoint == "_changes":
            self._of_feed(parts[0], told, named="filter" in request.query)
        elif self.habits.untold:
            told["results"] = [
                row for row in told["results"] if not self._shows("untold", self.habits.untold)
            ]
        for row in told["results"]:
            row["seq"] = self._position(row["seq"])
        told["last_seq"] = self._position(told["last_seq"])
        return msgspec.json.encode(told)

    def _of_leaf(self, doc_id: str, doc: dict[str, Any]) -> dict[str, Any]:
        if "ok" not in doc or not self._shows("unread", self.habits.unread):
            return doc
        missing = {"id": doc_id, "rev": doc["ok"]["_rev"], "error": "not_found", "reason": "missing"}
        return {"error": missing}

    def _of_feed(self, database: str, told: dict[str, Any], *, named: bool) -> None:
        """Copies that are behind; what they lack comes once they have it."""
        kept, before = [], None
        previous = None
        for row in told["results"]:
            if self._shows("hides", self.habits.hides):
                before = before or (previous or "0")
                if len(row["changes"]) > 1:
                    row["changes"] = row["changes"][1:]
                    kept.append(row)
            else:
                kept.append(row)
            previous = row["seq"]
        if before is not None and not named:
            self._again_from[database] = str(before)
        told["results"] = kept
        if self.habits.no_pending:
            told.pop("pending", None)

    def _of_local(self, request: web.Request, path: str, body: bytes) -> bytes:
        if request.method != "GET":
            return body
        seen = self._local.setdefault(path, [])
        if not seen or seen[-1] != body:
            seen.append(body)
        return seen[-2] if len(seen) > 1 and self._shows("stale_local", self.habits.stale_local) else body

    def _position(self, real: Any) -> Any:
        if not self.habits.opaque:
            return real
        self.shown["opaque"] += 1
        number = str(real).partition("-")[0]
        name = "g1AAAA" + self._random.randbytes(24).hex()
        shown: Any = [int(number), name] if self.habits.as_arrays else f"{number}-{name}"
        told = msgspec.json.encode(shown).decode() if self.habits.as_arrays else shown
        self._positions[told] = str(real)
        return shown


def _failure(status: int, error: str) -> web.Response:
    return web.json_response({"error": error, "reason": "as a cluster would"}, status=status)


@asynccontextmanager
async def quirky(base: str, habits: Habits, *, seed: int = 1) -> AsyncIterator[tuple[Quirky, str]]:
    """The server before the store at `base`, and its own base URL."""
    async with aiohttp.ClientSession() as session:
        server = Quirky(base, session, habits, seed)
        app = web.Application(client_max_size=64_000_000)
        app.router.add_route("*", "/{path:.*}", server.serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

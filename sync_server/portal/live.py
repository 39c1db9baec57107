"""Parts of a page that are sent again when they change, over one stream of server-sent events.

    GET /portal/sites/lima?live=3f2a91c0.07be55d1     event: part   data: {"name": "tablets", "html": "…"}

`live` says what the page shows already, and `Last-Event-ID` what came since: nothing is missed between the
page and its stream, nor while the line was away, and nothing is sent twice.

The page is looked at anew every few seconds, as the person who looks, and what became different is sent. A
part is a block of the page's template: what was sent first and what is sent later cannot differ.

| what happens | what follows |
|---|---|
| nothing changes | `event: still` now and then: nobody on the way closes the line, the page knows it is up |
| the login ends, the account is closed, the role is taken away | `event: over`: the page is loaded anew |
| nobody is signed in (any more), the password is temporary | likewise, at once |
| … before the stream begins, or while the line was away | the same: a script is told no status |
| MOST_OF_A_LOGIN streams of this login are open in this process | 429: the page is as it was loaded |
| looks take more than a quarter of the process's time | each waits longer, a minute at most |
| Postgres away | nothing is sent; the next look tries again |
| the line breaks, the process stops, ten minutes are over | the browser comes again by itself |
| another answer than a stream (Postgres away, a proxy without a service), or silence | the page comes again |
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import web

from reporting.queries.snapshot import snapshot
from sync_server.errors import ApiError, NotAuthenticated, TooMany
from sync_server.keys import ENGINE
from sync_server.portal.cookie import read_cookie
from sync_server.portal.pages import Page
from sync_server.portal.rendering import RENDERING, state_of
from sync_server.portal.serving import context_of, looked_at
from sync_server.portal.signing_in import recognise
from sync_server.unreachable import UNREACHABLE

LONGEST_SECONDS: Final = 600.0
MOST_OF_A_LOGIN: Final = 24
"""A browser opens no more than its tabs that are seen; each stream asks Postgres every few seconds."""
OVER: Final = b"event: over\ndata: {}\n\n"
"""What ends a stream for good."""
_QUIET_WAITS: Final = 5
SHARE: Final = 0.25
"""Of the time of one process, what all streams together may look."""
LONGEST_WAIT_SECONDS: Final = 60.0
_STILL: Final = b"event: still\ndata: {}\n\n"


class Pace:
    """How often parts are looked at, in seconds, and how many streams there are; `stop` ends all."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self._stopping = asyncio.Event()
        self._open: Counter[str] = Counter()

    def stop(self) -> None:
        """The process stops: browsers come again, to another one."""
        self._stopping.set()

    @contextmanager
    def following(self, login: str) -> Iterator[None]:
        """While a stream of this login is open. Raises TooMany."""
        if self._open[login] >= MOST_OF_A_LOGIN:
            raise TooMany(
                f"{MOST_OF_A_LOGIN} pages of yours are followed already: close some.",
                retry_after=round(LONGEST_SECONDS),
            )
        self._open[login] += 1
        try:
            yield
        finally:
            self._open[login] -= 1
            if not self._open[login]:
                del self._open[login]

    def waits(self, took: float) -> int:
        """How often to wait before the next look, where one takes so many seconds: once, as long as all
        streams together, looking like this one, take no more than their SHARE.
        """
        seconds = min(self._open.total() * took / SHARE, LONGEST_WAIT_SECONDS)
        return max(1, math.ceil(seconds / self.seconds))

    async def is_over(self) -> bool:
        """Wait a while; whether there is no other look."""
        try:
            async with asyncio.timeout(self.seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True


PACE: Final = web.AppKey("pace", Pace)


async def stream(request: web.Request, page: Page) -> web.StreamResponse:
    """Send parts of the page as they change. Raises ConnectionError where the browser went away, and what
    says at the first look that Postgres is away.
    """
    signed_in = read_cookie(request)
    if signed_in is None:
        raise NotAuthenticated("Nobody is signed in.")
    with request.app[PACE].following(signed_in.login):
        return await _stream(request, page)


async def _stream(request: web.Request, page: Page) -> web.StreamResponse:
    seen = request.headers.get("Last-Event-ID") or request.query.get("live", "")
    try:
        now = await _parts(request, page)
    except ApiError:
        return web.Response(body=OVER, content_type="text/event-stream")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    await response.write(f"retry: {request.app[PACE].seconds * 1000:.0f}\n\n".encode())
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await response.write(_changes(page, seen, now))
            async for event in _events(request, page, state_of(now)):
                await response.write(event)
    except TimeoutError:
        pass
    await response.write_eof()
    return response


async def _events(request: web.Request, page: Page, seen: str) -> AsyncIterator[bytes]:
    pace = request.app[PACE]
    quiet, waits = 0, 1
    while not await pace.is_over():
        waits -= 1
        changes = b""
        if waits <= 0:
            began = time.monotonic()
            try:
                now = await _parts(request, page)
            except UNREACHABLE:
                continue
            except ApiError:
                yield OVER
                return
            changes = _changes(page, seen, now)
            seen = state_of(now)
            waits = pace.waits(time.monotonic() - began)
        quiet = 0 if changes else quiet + 1
        if quiet == _QUIET_WAITS:
            quiet, changes = 0, _STILL
        if changes:
            yield changes


def _changes(page: Page, seen: str, now: Sequence[str]) -> bytes:
    """Events of the parts that are not as they were seen: `seen` is a `state_of` them, or nothing known."""
    before = seen.split(".")
    if len(before) != len(now):
        before = [""] * len(now)
    states = state_of(now).split(".")
    told = [
        msgspec.json.encode({"name": name, "html": html}).decode()
        for name, html, was, state in zip(page.live, now, before, states, strict=True)
        if was != state
    ]
    # The state comes with the last of them: who loses the line in between gets them again.
    events = [f"event: part\ndata: {each}\n\n" for each in told]
    if events:
        events[-1] = f"id: {'.'.join(states)}\n{events[-1]}"
    return "".join(events).encode()


async def _parts(request: web.Request, page: Page) -> list[str]:
    async with snapshot(request.app[ENGINE]) as connection:
        who = await recognise(request, connection)
        look, values = await looked_at(request, page, who, connection)
    context = context_of(request, page, who, look, values)
    return request.app[RENDERING].parts(page.template, page.live, who.texts, context)

"""Stopping without cutting anybody off: nobody new, then an answer for everybody who is being served.

    stop listening ──▶ end the waiting feeds ──▶ wait for the requests in flight ──▶ close what is left
                                                 (each answer is its connection's last)

aiohttp's own stop reads nothing more from any connection. A tablet in the middle of sending its batch would
never be understood: it waits, the stop waits for it with all its patience, and then drops the request.
"""

import asyncio

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

log = structlog.get_logger()


class Requests:
    """The requests that an application is answering."""

    def __init__(self) -> None:
        self._count = 0
        self._draining = False
        self._none = asyncio.Event()
        self._none.set()

    def install(self, app: web.Application) -> None:
        """Count the requests of an application from now on; outside of every other middleware."""
        app.middlewares.insert(0, self._middleware())
        app.on_response_prepare.append(self._close_after)

    async def drain(self, *, seconds: float) -> None:
        """Wait until none is left, at most `seconds`. Connections stay open for what is on its way."""
        self._draining = True
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            log.warning("requests are cut off by the stop", requests=self._count, after_s=seconds)

    def _middleware(self) -> Middleware:
        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._count += 1
            self._none.clear()
            try:
                return await handler(request)
            finally:
                self._count -= 1
                if not self._count:
                    self._none.set()

        return count

    async def _close_after(self, _: web.Request, response: web.StreamResponse) -> None:
        # Or a busy tablet would go on with its next batch on the same connection.
        if self._draining:
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()

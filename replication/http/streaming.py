"""Long answers, written piece by piece: a feed of a whole database is never in memory at once.

Nothing is sent before a good piece is together, so that what fails early still gets its proper status.

    what happens                       what the client sees
    -------------------------------    ---------------------------------------------------------------
    a failure before the first bytes   the failure's status and JSON
    a failure after them               a connection cut in the middle: JSON that does not end
    the client goes away               ConnectionCut ends the handler
    the client stops reading           after TAKING_SECONDS the connection is cut
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from replication.errors import CouchError

_PIECE_BYTES = 128 * 1024
_SMALL_BYTES = 16 * 1024
"""Less than what a transport holds before a writer has to wait."""
TAKING_SECONDS = 120.0
NOT_TAKEN = "the client took nothing of the answer for too long"


class ConnectionCut(Exception):
    """The connection ended, or had to be ended, before the answer was complete: nobody hears any more."""


def cut(request: web.Request, reason: str) -> ConnectionCut:
    """Close the request's connection at once; the failure to raise then."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionCut(reason)


class Stream:
    """An answer in pieces: `async with Stream(…) as out`, `write`, and at last `finish`.

    `headers` have to name the Content-Type; `length` is that of the whole in bytes, where it is known.
    """

    def __init__(
        self,
        request: web.Request,
        headers: Mapping[str, str],
        *,
        status: int = 200,
        length: int | None = None,
    ) -> None:
        self._request = request
        self._response = web.StreamResponse(
            status=status, headers={"Cache-Control": "must-revalidate", **headers}
        )
        self._response.content_length = length
        self._held: list[bytes] = []
        self._size = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, CouchError) and self._response.prepared:
            raise cut(self._request, error.reason) from error

    @property
    def client_is_gone(self) -> bool:
        """Whether the connection is closed already."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    async def write(self, text: bytes) -> None:
        """Add to the answer. Raises ConnectionCut when the client has gone away."""
        self._held.append(text)
        self._size += len(text)
        if self._size >= _PIECE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what is held; the status is out from the first time on. Raises ConnectionCut."""
        text = b"".join(self._held)
        self._held, self._size = [], 0
        try:
            if not self._response.prepared:
                await self._response.prepare(self._request)
            if self._request.method != "HEAD":
                await self._sent(text)
        except TimeoutError as error:
            raise cut(self._request, NOT_TAKEN) from error
        except ConnectionError as error:
            raise ConnectionCut("the client went away") from error

    async def _sent(self, text: bytes) -> None:
        transport = self._request.transport
        if len(text) <= _SMALL_BYTES and transport is not None and not transport.get_write_buffer_size():
            # It fits the buffer, so nothing waits: a thousand feeds that wake at once are spared the timer.
            await self._response.write(text)
            return
        async with asyncio.timeout(TAKING_SECONDS):
            await self._response.write(text)

    async def finish(self) -> web.StreamResponse:
        """The complete answer, sent. Raises ConnectionCut."""
        # The rest and the end at once: most answers are one piece.
        text = b"" if self._request.method == "HEAD" else b"".join(self._held)
        self._held, self._size = [], 0
        try:
            if not self._response.prepared:
                await self._response.prepare(self._request)
            async with asyncio.timeout(TAKING_SECONDS):
                await self._response.write_eof(text)
        except TimeoutError as error:
            raise cut(self._request, NOT_TAKEN) from error
        except ConnectionError as error:
            raise ConnectionCut("the client went away") from error
        return self._response


class JsonStream(Stream):
    """An answer of JSON text.

    A feed of events is JSON text too, each in its frame; it has a `content_type` of its own.
    """

    def __init__(self, request: web.Request, *, content_type: str = "application/json") -> None:
        super().__init__(request, {"Content-Type": content_type})

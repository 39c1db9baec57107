"""Bodies of requests as they arrive: how long the server waits for them, and how many it holds at once.

    what happens                                  what follows
    ------------------------------------------    ----------------------------------------------------------
    a body is larger than MAX_REQUEST_BYTES       413, as soon as that is known
    a body stops arriving for IDLE_SECONDS        408, and the connection is closed
    all bodies together fill the room             reading waits, and with it the client (TCP holds it back);
                                                  after WAIT_SECONDS 503 with Retry-After, its part is freed
    the caller has a pace (see `set_pace`)        pieces are read as fast as it allows
    nobody could go on                            who began first may take more than there is, one at a time:
                                                  somebody always gets through
    the client goes away                          its part is freed

A tablet on a slow line costs the memory of what has arrived, not of what it announced. Decoding a body takes
about three times its size on top, for as long as it is written; the room counts bodies alone.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import web

from replication.errors import RequestTimeout, TooLarge, Unavailable
from replication.http.streaming import ConnectionCut, cut

MAX_REQUEST_BYTES = 256 * 1024 * 1024
ROOM_BYTES = 256 * 1024 * 1024
"""Unless whoever mounts the API says otherwise."""
IDLE_SECONDS = 60.0
WAIT_SECONDS = 20.0


class Room:
    """Memory for bodies, shared by all requests of one server. `used` is at most `size` and what the one
    portion that began first holds beyond it.
    """

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self.size = size
        self.used = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._holding: dict[Portion, None] = {}

    def portion(self) -> "Portion":
        """What one request holds: nothing yet."""
        return Portion(self)

    async def take(self, portion: "Portion", size: int) -> None:
        """Wait for so many bytes. Raises Unavailable."""
        if not self._has(portion, size):
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    while not self._has(portion, size):
                        freed = asyncio.get_running_loop().create_future()
                        self._waiting.append(freed)
                        await freed
            except TimeoutError as error:
                raise Unavailable("too much is being received at the moment; send again") from error
        self._holding.setdefault(portion)
        self.used += size

    def _has(self, portion: "Portion", size: int) -> bool:
        return self.used + size <= self.size or next(iter(self._holding), portion) is portion

    def give_back(self, portion: "Portion", size: int) -> None:
        """Let others have so many bytes, which were all that the portion held."""
        self._holding.pop(portion, None)
        self.used -= size
        waiting, self._waiting = self._waiting, []
        for freed in waiting:
            if not freed.done():
                freed.set_result(None)


class Portion:
    """The bytes of one request's body that are in memory."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    async def take(self, size: int) -> None:
        """Wait for so many bytes more. Raises Unavailable."""
        await self._room.take(self, size)
        self._held += size

    def release(self) -> None:
        """The request is over."""
        if self._held:
            self._room.give_back(self, self._held)
            self._held = 0


class Pace(Protocol):
    """How fast one caller may send."""

    async def spend(self, size: int) -> None:
        """Wait until so many bytes may be read."""


_PORTION = web.RequestKey("portion", Portion)
_PACE: web.RequestKey[Pace] = web.RequestKey("pace")


def set_pace(request: web.Request, pace: Pace) -> None:
    """Read the request's body at this pace."""
    request[_PACE] = pace


def give_portion(request: web.Request, room: Room) -> Portion:
    """The request's portion of the room, which `body_pieces` takes from; to be released at the end."""
    portion = room.portion()
    request[_PORTION] = portion
    return portion


async def body_pieces(request: web.Request, *, limit: int = MAX_REQUEST_BYTES) -> AsyncIterator[bytes]:
    """The body, unpacked, in pieces as the network gives them. Raises TooLarge, RequestTimeout, Unavailable,
    ConnectionCut.
    """
    # Whoever mounts the API may have set less for the whole application.
    limit = min(limit, request.client_max_size or limit)
    too_large = TooLarge(f"the request is larger than {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    portion: Portion | None = request.get(_PORTION)
    pace: Pace | None = request.get(_PACE)
    size = 0
    try:
        while piece := await _next_piece(request):
            size += len(piece)
            if size > limit:
                raise too_large
            if pace is not None:
                await pace.spend(len(piece))
            if portion is not None:
                await portion.take(len(piece))
            yield piece
    except web.RequestPayloadError as error:
        # Where the body ends is unknown, so there is no place for an answer either.
        raise cut(request, f"the body cannot be unpacked: {error}") from error
    except ConnectionError as error:
        raise ConnectionCut("the client went away while it was sending") from error


async def passed_on_pieces(request: web.Request) -> AsyncIterator[bytes]:
    """`body_pieces` for whoever passes each of them on at once: none is held after the next was asked for."""
    portion: Portion | None = request.get(_PORTION)
    async for piece in body_pieces(request):
        yield piece
        if portion is not None:
            portion.release()


async def _next_piece(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            return await request.content.readany()
    except TimeoutError as error:
        raise RequestTimeout(f"nothing of the body arrived for {IDLE_SECONDS:.0f} s") from error

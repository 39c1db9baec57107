"""Requests to the server behind: one pool of connections, the service's own login, and an end to every wait.

    what happens                                          what follows
    --------------------------------------------------    --------------------------------------------------
    it cannot be reached, resets, says no HTTP            Unavailable; what is only read, or may be written
                                                          twice, is sent once more after a reset
    nothing of an answer for FIRST_BYTE_SECONDS after     Unavailable; feeds have a patience of their own
    the last byte of the request
    429, 500, 502, 503, 504                               Unavailable; a 500 of a replication is its outcome
    401, and 403 that is not about one document           Unavailable, and an error in the log: the login is
                                                          this service's, no client can mend it
    an answer stops in the middle                         Unavailable; whoever has begun an answer of his own
                                                          cuts it (`replication.http.streaming.Stream`)
    the client goes away                                  the request is cancelled, within LOOK_SECONDS
    the process stops                                     waiting feeds end: Stopping

aiohttp does not tell a handler that its client is gone, unless the handler writes. So whoever waits for the
server behind is entered in a list, and one task looks through it.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec
import structlog
from aiohttp import web
from yarl import URL

from replication.client import Headers, failure_of
from replication.errors import CouchError, Unavailable
from replication.http.intake import IDLE_SECONDS
from replication.http.streaming import ConnectionCut

CONNECT_SECONDS = 5.0
FIRST_BYTE_SECONDS = 60.0
SILENCE_SECONDS = 60.0
"""In the middle of an answer that is no feed."""
LOOK_SECONDS = 1.0
ALLOWED_SECONDS = 15.0
"""How long a silent feed goes on before it looks whether its caller is still allowed to have it."""
_KEEP_ALIVE_SECONDS = 30.0
_UNAVAILABLE = frozenset({429, 500, 502, 503, 504})
_OWN_LOGIN = frozenset({401, 403})
_READS = frozenset({"GET", "HEAD"})
_MOST_TOLD = 64 * 1024
"""Bytes that are read of a failure."""

_LARGE_BYTES = 512 * 1024

Body = bytes | AsyncIterator[bytes] | None

StillAllowed = Callable[[], Awaitable[None]]
T = TypeVar("T")

log = structlog.get_logger()


class Silent(Unavailable):
    """Nothing came for too long."""


class _Disconnected(aiohttp.ClientError):
    """The connection ended before the answer began; the request may have been carried out."""


async def _sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request once more by itself.

    It does so after a disconnect with every PUT and DELETE, which it holds to be idempotent. An edit is not:
    carried out twice, the second time is a conflict with the first. It does so with no error but its own two.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise _Disconnected(repr(error)) from error


class Stopping(Exception):
    """This process stops: a feed that waits ends with what it has."""


class Upstream:
    """The server behind. `start` before the first request, `stop` after the last one."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._base = ""
        self._headers: Headers = dict
        self._waiting: dict[asyncio.Timeout, tuple[web.Request, bool]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.stopping = False

    async def start(self, base: str, headers: Headers) -> None:
        """`base` is the URL under which `/<database>` answers; `headers` log this service in."""
        self._base, self._headers = base.rstrip("/"), headers
        self._session = aiohttp.ClientSession(
            # Feeds hold a connection each; what bounds the others is the room for their bodies.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding", "Accept"),
            middlewares=(_sent_once,),
        )
        self._looking = asyncio.create_task(self._look_again_and_again(), name="clients of the gateway")

    def stop_feeds(self) -> None:
        """Let waiting feeds end."""
        self.stopping = True
        self._look()

    async def stop(self) -> None:
        """Close all connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        if self._session is not None:
            await self._session.close()

    def exchange(self, request: web.Request, asked: "Ask") -> "Exchange":
        """One request on behalf of a client's."""
        return Exchange(self, request, asked)

    @property
    def waits(self) -> int:
        """How many requests wait for it just now."""
        return len(self._waiting)

    @property
    def base(self) -> str:
        """The URL under which its databases are, without a login."""
        return self._base

    async def send(self, asked: "Ask", data: object) -> aiohttp.ClientResponse:
        """One request with this service's login. Raises Unavailable, and aiohttp's errors."""
        if self._session is None:
            raise Unavailable("this process is not ready yet")
        return await self._session.request(
            asked.method,
            URL(self._base + asked.path + (f"?{asked.query}" if asked.query else ""), encoded=True),
            headers={**asked.headers, **self._headers()},
            data=data,
            allow_redirects=False,
        )

    @contextmanager
    def looking(self, scope: asyncio.Timeout, request: web.Request, *, waits: bool) -> Iterator[None]:
        """End the scope when the client is gone; `waits`: also when the process stops."""
        self._waiting[scope] = (request, waits)
        try:
            yield
        finally:
            del self._waiting[scope]

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for scope, (request, waits) in list(self._waiting.items()):
            if (is_gone(request) or (waits and self.stopping)) and not scope.expired():
                scope.reschedule(now)


def is_gone(request: web.Request) -> bool:
    """Whether the client's connection is closed already."""
    return request.transport is None or request.transport.is_closing()


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the server behind. `path` and `query` are percent-encoded; a `body` that is no bytes is
    passed on as it comes.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: Body = None
    patience: float | None = None
    """Seconds for the first byte of the answer; where it `waits`, also between its pieces. None: as usual."""
    waits: bool = False
    """It may be silent for long, and ends when this process stops."""
    fails_with_500: bool = False
    """A 500 is what came of it (CouchDB's of a replication), and tells nothing of the server's state."""
    repeatable: bool = False
    """It may be sent twice: its body is bytes, and doing it again changes nothing."""

    @property
    def may_be_sent_twice(self) -> bool:
        """Whether it is `repeatable`, or only reads."""
        return self.repeatable or (self.method in _READS and self.body is None)


class Exchange:
    """`async with upstream.exchange(…) as answer`: the status and the headers are there, the body is read by
    `pieces` or `read`. What was not read to its end is closed, and so cancelled.

    Entering, and reading, raise Unavailable, ConnectionCut, Stopping; entering also what the client's body
    raises while it is passed on.
    """

    def __init__(self, upstream: Upstream, request: web.Request, asked: Ask) -> None:
        self._upstream = upstream
        self._request = request
        self._asked = asked
        self._patience = FIRST_BYTE_SECONDS if asked.patience is None else asked.patience
        self._failure: BaseException | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._clock = asyncio.get_running_loop().time

    async def __aenter__(self) -> Self:
        try:
            await self._within(self._patience, self._send)
            await self._check_available()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._response is not None:
            # Nothing happens to a connection whose answer was read to its end: it is in the pool again.
            self._response.close()

    @property
    def response(self) -> aiohttp.ClientResponse:
        """The answer's head."""
        if self._response is None:
            raise RuntimeError("there is no answer yet")
        return self._response

    @property
    def status(self) -> int:
        """The answer's status."""
        return self.response.status

    def check_login(self) -> None:
        """Raises Unavailable where this service was not let in."""
        if self.status in _OWN_LOGIN:
            raise refused_login(self.status, self._asked.path)

    async def pieces(self, still_allowed: StillAllowed | None = None) -> AsyncIterator[bytes]:
        """The body as the network gives it, packed as it came. While nothing comes, `still_allowed` is asked
        now and then, and raises what ends the wait.
        """
        while piece := await self._next_piece(still_allowed):
            yield piece

    async def _next_piece(self, still_allowed: StillAllowed | None) -> bytes:
        patience = self._patience if self._asked.waits else SILENCE_SECONDS
        if still_allowed is None:
            return await self._within(patience, self._piece)
        deadline = self._clock() + patience
        while True:
            left = deadline - self._clock()
            try:
                return await self._within(min(left, ALLOWED_SECONDS), self._piece)
            except Silent:
                if left <= ALLOWED_SECONDS:
                    raise
            await still_allowed()

    async def _piece(self, _: asyncio.Timeout) -> bytes:
        return await self.response.content.readany()

    async def read(self, *, most_bytes: int | None = None) -> bytes:
        """The whole body, or as much as `most_bytes`."""
        found, size = [], 0
        async for piece in self.pieces():
            found.append(piece)
            size += len(piece)
            if most_bytes is not None and size >= most_bytes:
                break
        return b"".join(found)[:most_bytes]

    async def failure(self) -> CouchError:
        """The failure that an answer of 400 and above tells of."""
        return failure_of(self.status, await self.read(most_bytes=_MOST_TOLD))

    async def _check_available(self) -> None:
        if self.status not in _UNAVAILABLE or (self.status == 500 and self._asked.fails_with_500):
            return
        failure = await self.failure()
        told = {"error": failure.error, "reason": failure.reason}
        log.warning("the store failed", status=self.status, path=self._asked.path, **told)
        raise Unavailable(f"the store answers {self.status}; send again")

    async def _within(self, seconds: float, step: Callable[[asyncio.Timeout], Awaitable[T]]) -> T:
        scope = asyncio.timeout(seconds)
        with self._upstream.looking(scope, self._request, waits=self._asked.waits):
            try:
                async with scope:
                    return await step(scope)
            except (aiohttp.ClientError, OSError) as error:
                if self._failure is not None:
                    raise self._failure from error
                if is_gone(self._request):
                    raise ConnectionCut("the client went away while the store was asked") from error
                if self._asked.waits and self._upstream.stopping:
                    raise Stopping from error
                if scope.expired():
                    raise Silent("the store does not answer in time; send again") from error
                log.warning("the store gave no answer", path=self._asked.path, error=repr(error))
                raise Unavailable("the store cannot be reached at the moment; send again") from error

    async def _send(self, scope: asyncio.Timeout) -> None:
        try:
            self._response = await self._sent(scope)
        except _Disconnected:
            # A kept connection may have been closed in the moment in which it was used again.
            if not self._asked.may_be_sent_twice:
                raise
            self._response = await self._sent(scope)

    async def _sent(self, scope: asyncio.Timeout) -> aiohttp.ClientResponse:
        data: object = self._asked.body
        if isinstance(self._asked.body, bytes):
            # A stream: aiohttp warns of large bodies given as bytes.
            data = io.BytesIO(self._asked.body) if len(self._asked.body) > _LARGE_BYTES else self._asked.body
        elif self._asked.body is not None:
            data = self._passed_on(self._asked.body, scope)
        return await self._upstream.send(self._asked, data)

    async def _passed_on(self, pieces: AsyncIterator[bytes], scope: asyncio.Timeout) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                # A slow client is waited for by whoever reads its body.
                scope.reschedule(self._clock() + IDLE_SECONDS + self._patience)
                yield piece
        except (CouchError, ConnectionCut) as error:
            self._failure = error
            raise
        scope.reschedule(self._clock() + self._patience)


def refused_login(status: int, path: str) -> Unavailable:
    """What a client is told when this service's own login is refused: nothing that sounds like its own."""
    log.error("the store refuses this service's own login", status=status, path=path)
    return Unavailable("the store does not let this service in at the moment; send again")

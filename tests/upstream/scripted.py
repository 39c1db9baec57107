"""A server behind that answers what a test tells it to, and a caller who sees part of the documents."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from replication.errors import Forbidden
from replication.http.access import Access, Authorize, FullAccess, Operation
from replication.wire.decode import Incoming, Refusal

Act = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """`acts` are done one a request, the last one for all that follow."""

    acts: deque[Act] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client went away while it was being answered."""

    def will(self, *acts: Act) -> None:
        self.acts = deque(acts)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), body))
        self.came.set()
        act = self.acts.popleft() if len(self.acts) > 1 else self.acts[0]
        try:
            return await act(request)
        except asyncio.CancelledError:
            self.gone.set()
            raise


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[tuple[Scripted, str]]:
    """The server, and its URL."""
    script = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", script.handle)
    async with TestServer(app, handler_cancellation=True) as server:
        yield script, str(server.make_url("/couch"))


def answers(status: int, body: object = None, **headers: str) -> Act:
    """Answer JSON."""

    async def act(_: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return act


async def resets(request: web.Request) -> web.Response:
    """End the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def is_silent(_: web.Request) -> web.Response:
    """Answer nothing, ever."""
    await asyncio.Event().wait()
    raise AssertionError


def begins(*pieces: bytes, then: Act, length: int | None = None) -> Act:
    """Begin an answer, then do something else."""

    async def act(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = length
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await then(request)
        return response

    return act


class Visits(FullAccess):
    """Sees visits, writes everything but what is bad; what it was asked and told is kept."""

    prefixes = ("visit:", "study.x:")

    def __init__(self) -> None:
        self.admitted: list[str] = []
        self.told: list[tuple[str, Refusal]] = []
        self.allowed = True

    def may_read(self, doc_id: str) -> bool:
        return doc_id.startswith(self.prefixes)

    def may_use_local(self, local_id: str) -> bool:
        return local_id != "projector"

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        self.admitted += [incoming.id for incoming in docs]
        return [
            Refusal("forbidden", "policy") if incoming.id.startswith("bad") else incoming.refusal
            for incoming in docs
        ]

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:  # noqa: ARG002
        self.told += [(incoming.id, refusal) for incoming, refusal in docs]


def only(access: Visits) -> Authorize:
    """Everybody is that caller."""

    async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:
        if not access.allowed:
            raise Forbidden("not any more")
        return access

    return authorize

"""Where a dump is read from or loaded into: one server, and how it is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote

import aiohttp

from replication.client import CouchClient, Headers
from replication.errors import Unavailable
from replication.replicator.definition import Endpoint
from replication.replicator.peer import Peer

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 7
"""Tries of a request that gets no answer, or 429, 503 …; the waits between them add up to about 30 s."""

FIRST_WAIT_S = 0.5
"""After the first of them; each further wait is twice as long."""


class Place(NamedTuple):
    """A server. `base` is the URL under which `/<database>` answers, without a login."""

    session: aiohttp.ClientSession
    base: str
    headers: Headers

    @property
    def client(self) -> CouchClient:
        """Requests about any database."""
        return CouchClient(self.session, self.base, headers=self.headers)

    def peer(self, database: str) -> Peer:
        """Requests that stream. Its credential is the one of this moment: take a new one each time."""
        url = f"{self.base}/{quote(database, safe='')}"
        return Peer(self.session, Endpoint(url, headers=tuple(self.headers().items())))


async def retried(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """The outcome of `call` with these arguments, tried again while the server is away; it must be
    repeatable. Raises the last failure.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return await call(*args, **kwargs)
        except Unavailable:
            await asyncio.sleep(FIRST_WAIT_S * 2**attempt)
    return await call(*args, **kwargs)

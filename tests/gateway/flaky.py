"""A proxy before a real server that does to a connection what a clinic's network does."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import Enum


class Fate(Enum):
    """What becomes of one request."""

    PASS = "passed on, and its answer passed back"
    LOSE_REQUEST = "never arrives; the connection is reset"
    LOSE_ANSWER = "arrives and is served; the connection is reset instead of an answer"
    CUT_ANSWER = "arrives and is served; the connection ends in the middle of the answer"
    BAD_GATEWAY = "answered by the proxy, 502"
    GATEWAY_TIMEOUT = "answered by the proxy, 504"
    NO_JSON = "answered by the proxy, 200 with a page for people"


_OWN_ANSWERS = {
    Fate.BAD_GATEWAY: b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n<h1>502</h1>",
    Fate.GATEWAY_TIMEOUT: b"HTTP/1.1 504 Gateway Timeout\r\nConnection: close\r\n\r\n",
    Fate.NO_JSON: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>",
}


class Flaky:
    """The proxy. `fates` are those of the next requests; further ones pass, or share `always`."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.fates: deque[Fate] = deque()
        self.always = Fate.PASS
        self.requests: list[str] = []
        """Method and last part of the path of every request, as it came."""

    def will(self, *fates: Fate) -> None:
        """Set the fates of the next requests."""
        self.fates.extend(fates)

    def count(self, request: str) -> int:
        """How often a request came."""
        return self.requests.count(request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            method, path, _ = head.split(b" ", 2)
            self.requests.append(f"{method.decode()} {path.decode().partition('?')[0].rpartition('/')[2]}")
            fate = self.fates.popleft() if self.fates else self.always
            for part in await self._answer(fate, head + body):
                writer.write(part)
                await writer.drain()
            if fate in (Fate.LOSE_REQUEST, Fate.LOSE_ANSWER):
                writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, fate: Fate, request: bytes) -> Iterable[bytes]:
        if fate is Fate.LOSE_REQUEST:
            return ()
        if fate in _OWN_ANSWERS:
            return (_OWN_ANSWERS[fate],)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            line, rest = request.split(b"\r\n", 1)
            writer.write(line + b"\r\nConnection: close\r\n" + rest)
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
        return {Fate.LOSE_ANSWER: (), Fate.CUT_ANSWER: (answer[:-2],)}.get(fate, (answer,))


@asynccontextmanager
async def flaky_proxy(port: int) -> AsyncIterator[tuple[Flaky, int]]:
    """A proxy before the server on loopback `port`, and its own port."""
    proxy = Flaky(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield proxy, server.sockets[0].getsockname()[1]

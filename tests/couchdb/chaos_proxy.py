"""A proxy before a real server that spoils what passes through it: at random, seeded, counted.

Real sockets on loopback; one request a connection, bodies passed on as they come. What the proxy answers
itself it answers as CouchDB or what stands before one would, after it has read the request to its end: who is
answered while he sends may see a reset instead.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

_PIECE = 65_536


class Fate(Enum):
    """What becomes of one request."""

    PASS = "passed on, and its answer passed back"
    DELAY = "passed on after a while"
    LOSE_REQUEST = "never arrives; the connection is reset"
    LOSE_ANSWER = "is served; the connection is reset instead of an answer"
    CUT_ANSWER = "is served; the connection ends in the middle of the answer"
    SPOILED_500 = "is served, and answered with 500"
    ANSWER_500 = "is answered with 500"
    ANSWER_503 = "is answered with 503"
    ANSWER_429 = "is answered with 429"


SPOILING = tuple(fate for fate in Fate if fate is not Fate.PASS)

_OWN_ANSWERS = {
    Fate.SPOILED_500: (500, "timeout", "The request could not be processed in a reasonable amount of time."),
    Fate.ANSWER_500: (500, "internal_server_error", "No DB shards could be opened."),
    Fate.ANSWER_503: (503, "service_unavailable", "The server is in maintenance mode."),
    Fate.ANSWER_429: (429, "too_many_requests", "Buy more, or wait."),
}


class ChaosProxy:
    """The proxy before `host`:`port`. While `active`, `rate` of the requests are spoiled, each fate alike."""

    def __init__(self, host: str, port: int, *, rate: float, seed: int, delay_s: float = 0.05) -> None:
        self.active = True
        self.rate = rate
        self.seen: Counter[Fate] = Counter()
        self._host = host
        self._port = port
        self._random = random.Random(seed)
        self._delay_s = delay_s
        self._serving: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection."""
        task = asyncio.create_task(self.serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """End the connections that are open."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            fate = self._fate()
            self.seen[fate] += 1
            await self._carry_out(fate, head, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            # Whoever asked has gone, or the server has.
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _fate(self) -> Fate:
        spoils = self.active and self._random.random() < self.rate
        return self._random.choice(SPOILING) if spoils else Fate.PASS

    async def _carry_out(
        self, fate: Fate, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fate is Fate.DELAY:
            await asyncio.sleep(self._delay_s * (1 + self._random.random()))
        if fate is Fate.LOSE_REQUEST:
            writer.transport.abort()
            return
        if fate in _OWN_ANSWERS and fate is not Fate.SPOILED_500:
            await _read_body(head, reader)
            writer.write(_own_answer(fate))
            await writer.drain()
            return
        upstream, sending = await asyncio.open_connection(self._host, self._port)
        try:
            line, rest = head.split(b"\r\n", 1)
            sending.write(line + b"\r\nConnection: close\r\n" + _without_connection(rest))
            asking = asyncio.create_task(_send_body(head, reader, sending))
            try:
                await self._pass_back(fate, upstream, writer)
            finally:
                asking.cancel()
                with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
                    await asking
        finally:
            sending.close()
            with suppress(OSError):
                await sending.wait_closed()

    async def _pass_back(
        self, fate: Fate, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fate in (Fate.LOSE_ANSWER, Fate.SPOILED_500):
            await upstream.read()
            if fate is Fate.SPOILED_500:
                writer.write(_own_answer(fate))
                await writer.drain()
            else:
                writer.transport.abort()
            return
        while piece := await upstream.read(_PIECE):
            if fate is Fate.CUT_ANSWER:
                writer.write(piece[: self._random.randrange(1, len(piece))])
                await writer.drain()
                if self._random.random() < 0.5:
                    writer.transport.abort()
                return
            writer.write(piece)
            await writer.drain()


def _without_connection(headers: bytes) -> bytes:
    return re.sub(rb"(?im)^(connection|keep-alive):[^\r]*\r\n", b"", headers)


def _own_answer(fate: Fate) -> bytes:
    status, error, reason = _OWN_ANSWERS[fate]
    body = json.dumps({"error": error, "reason": reason}).encode()
    head = f"HTTP/1.1 {status} As it happens\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _pieces_of_body(head: bytes, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        while True:
            line = await reader.readline()
            size = int(line.split(b";")[0] or b"0", 16)
            yield line + await reader.readexactly(size + 2)
            if not size:
                return
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    left = int(found[1]) if found else 0
    while left:
        piece = await reader.read(min(left, _PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


async def _read_body(head: bytes, reader: asyncio.StreamReader) -> None:
    async for _ in _pieces_of_body(head, reader):
        pass


async def _send_body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for piece in _pieces_of_body(head, reader):
        writer.write(piece)
        await writer.drain()


@asynccontextmanager
async def chaos_before(url: str, *, rate: float, seed: int = 1) -> AsyncIterator[tuple[ChaosProxy, str]]:
    """A proxy before the server of `url`, and the URL through it: its login and path are kept."""
    parts = urlsplit(url)
    proxy = ChaosProxy(parts.hostname or "127.0.0.1", parts.port or 80, rate=rate, seed=seed)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    login = parts.netloc.rpartition("@")[0]
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    netloc = f"{login}@{address}" if login else address
    try:
        async with server:
            yield proxy, urlunsplit(parts._replace(netloc=netloc))
    finally:
        await proxy.close()

"""The link between hub and centre: a TCP proxy that a test cuts, restores, and stops in the middle."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

Way = Literal["up", "down"]
_PIECE = 16 * 1024


class Wire:
    """Forwards connections to `port` on this machine, unless it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._left: dict[Way, int | None] = {"up": None, "down": None}
        self.stalled = asyncio.Event()
        self.port = 0

    @property
    def base_url(self) -> str:
        """The centre, through the wire."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection, and each new one."""
        self._cut = True
        for writer in list(self._open):
            writer.transport.abort()

    def restore(self, **most: int) -> None:
        """Forward again; after `up` or `down` bytes that way both ways stand still, and `stalled` is set."""
        self._left = {"up": most.get("up"), "down": most.get("down")}
        self.stalled.clear()
        self._cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the hub."""
        if self._cut:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, there_writer}
        self._open |= both
        try:
            await asyncio.gather(
                self._forward("up", reader, there_writer), self._forward("down", there_reader, writer)
            )
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()

    async def _forward(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                left = self._left[way]
                if self.stalled.is_set() or (left is not None and left < len(piece)):
                    self.stalled.set()
                    await self._gone(writer)
                    return
                if left is not None:
                    self._left[way] = left - len(piece)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()

    async def _gone(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing() and not self._cut:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """A wire to a port of this machine."""
    wire = Wire(port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        await server.wait_closed()

"""Bodies as they arrive: what is held at once, and clients that stop in the middle."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from replication.errors import Unavailable
from replication.http import intake, streaming
from replication.http.access import allow_everything
from replication.http.intake import Room
from replication.http.server import couch_routes
from replication.store.registry import Registry
from tests.contract.couch import Db

KB = 1024


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients and waiting requests get parts of a second."""
    monkeypatch.setattr(intake, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(intake, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(streaming, "TAKING_SECONDS", 0.5)


@pytest.fixture
def room() -> Room:
    return Room(600 * KB)


@pytest.fixture
async def db(tmp_path: Path, room: Room) -> AsyncIterator[Db]:
    """A database of a server with little room."""
    registry = Registry(tmp_path)
    app = web.Application(client_max_size=intake.MAX_REQUEST_BYTES)
    app.add_routes(couch_routes(registry, allow_everything, room=room))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        db = Db(f"http://127.0.0.1:{port}/site", session, "site")
        (await db.put("", None)).ok(201)
        yield db
    registry.stop_feeds()
    await runner.cleanup()
    await registry.close()


class Sender:
    """A push that arrives as its test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def begin(cls, db: Db, size: int, *, sent: int) -> "Sender":
        """Announce `size` bytes and send the first of them."""
        url = urlsplit(db.base)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = f"POST {url.path}/_bulk_docs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {size}\r\n\r\n".encode() + b" " * sent)
        await writer.drain()
        return cls(reader, writer)

    async def end(self, left: int) -> int:
        """Send the rest; the status of the answer."""
        body = json.dumps({"docs": []}).encode()
        self.writer.write(b" " * (left - len(body)) + body)
        await self.writer.drain()
        return await self.status()

    async def status(self) -> int:
        async with asyncio.timeout(10):
            return int((await self.reader.readline()).split()[1])

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def until_used(room: Room, size: int) -> None:
    async with asyncio.timeout(10):
        while room.used != size:  # noqa: ASYNC110 (another task changes it)
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("hurried")
async def test_a_body_that_stops_arriving_is_given_up(db: Db, room: Room) -> None:
    sender = await Sender.begin(db, 1000, sent=10)
    assert await sender.status() == 408
    await until_used(room, 0)
    await sender.close()
    await db.save("a")


async def test_a_body_waits_for_room_and_then_goes_on(db: Db, room: Room) -> None:
    first = await Sender.begin(db, 500 * KB, sent=400 * KB)
    await until_used(room, 400 * KB)
    second = await Sender.begin(db, 300 * KB, sent=299 * KB)
    answer = asyncio.ensure_future(second.end(1 * KB))
    await asyncio.sleep(0.1)
    assert not answer.done()
    assert await first.end(100 * KB) == 201
    assert await answer == 201
    await until_used(room, 0)
    await first.close()
    await second.close()


@pytest.mark.usefixtures("hurried")
async def test_who_waits_too_long_for_room_is_sent_away(
    db: Db, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "IDLE_SECONDS", 30)
    first = await Sender.begin(db, 500 * KB, sent=400 * KB)
    await until_used(room, 400 * KB)
    second = await Sender.begin(db, 300 * KB, sent=300 * KB)
    assert await second.status() == 503
    await until_used(room, 400 * KB)
    # Small requests pass by.
    await db.save("a")
    assert await first.end(100 * KB) == 201
    await first.close()
    await second.close()


async def test_a_client_that_goes_away_frees_its_part(db: Db, room: Room) -> None:
    sender = await Sender.begin(db, 500 * KB, sent=400 * KB)
    await until_used(room, 400 * KB)
    await sender.close()
    await until_used(room, 0)


async def test_one_body_that_is_larger_than_the_room_gets_through(db: Db, room: Room) -> None:
    sender = await Sender.begin(db, 2000 * KB, sent=1000 * KB)
    assert await sender.end(1000 * KB) == 201
    await until_used(room, 0)
    await sender.close()


async def test_nobody_starves_while_all_hold_a_part_and_want_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "WAIT_SECONDS", 5)
    room = Room(10)

    async def one(size: int) -> None:
        portion = room.portion()
        for _ in range(size):
            await portion.take(1)
            await asyncio.sleep(0)
        portion.release()

    async with asyncio.timeout(5):
        await asyncio.gather(*(one(1 + number % 3) for number in range(100)))
    assert room.used == 0


async def test_who_began_first_may_go_beyond_the_room_and_the_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "WAIT_SECONDS", 0.1)
    room = Room(10)
    first, second = room.portion(), room.portion()
    await first.take(5)
    await second.take(5)
    await first.take(5)
    with pytest.raises(Unavailable):
        await second.take(1)
    first.release()
    await second.take(5)
    assert room.used == 10


@pytest.mark.usefixtures("hurried")
async def test_a_client_that_stops_reading_is_cut_off(db: Db) -> None:
    await db.push(*({"_id": f"d{n}", "_rev": "1-a", "x": "x" * 50_000} for n in range(8)))
    for start in range(1, 20):
        await db.push(*({"_id": f"d{start}-{n}", "_rev": "1-a", "x": "x" * 50_000} for n in range(8)))
    url = urlsplit(db.base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=KB)
    writer.write(f"GET {url.path}/_changes?include_docs=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    await asyncio.sleep(1.5)
    received = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while piece := await reader.read(KB * KB):
                received += len(piece)
    assert received < 8_000_000
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()

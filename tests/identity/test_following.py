"""What is held in memory is read again and again, and a reading that cannot go on is told."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from sync_server.following import Follower, listen


async def test_a_notification_is_followed_by_a_reading(async_engine: AsyncEngine) -> None:
    read = asyncio.Event()

    async def reading() -> None:
        read.set()

    async with Follower(async_engine, "things", reading, what="things", interval=3600):
        await read.wait()
        read.clear()
        async with async_engine.begin() as connection:
            await connection.execute(text("NOTIFY things"))
        await read.wait()


async def test_a_defect_in_a_reading_is_told_and_an_outage_once(
    async_engine: AsyncEngine,
) -> None:
    failures = [OSError("away"), OSError("away"), KeyError("a defect")]
    ended = asyncio.Event()

    async def reading() -> None:
        failure = failures.pop(0)
        if not failures:
            ended.set()
        raise failure

    with capture_logs() as lines:
        async with Follower(async_engine, "things", reading, what="things", interval=0.01):
            await ended.wait()
            await asyncio.sleep(0)
    assert [(line["log_level"], line["what"]) for line in lines] == [
        ("warning", "things"),
        ("critical", "things"),
    ]


async def test_listener_is_closed_where_who_waits_for_it_is_cancelled(
    async_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: asyncio.Future[psycopg.AsyncConnection] = asyncio.get_running_loop().create_future()

    async def hang(listener: psycopg.AsyncConnection, _: bytes) -> None:
        begun.set_result(listener)
        await asyncio.Event().wait()

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", hang)
    waiting = asyncio.create_task(listen(async_engine, "things"))
    listener = await begun
    waiting.cancel()
    await asyncio.wait([waiting])
    assert listener.closed

"""Connections that block, and turns that are cancelled."""

import asyncio
import threading

import psycopg
import pytest

from reporting.projection.connections import Connections


async def test_call_is_over_when_a_turn_was_cancelled_twice(database_url: str) -> None:
    connections = Connections(database_url, 1)
    begun, may_end, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def blocking(connection: psycopg.Connection) -> None:
        connection.execute("SELECT 1")
        loop.call_soon_threadsafe(begun.set)
        assert may_end.wait(60)
        ended.set()

    async def turn() -> None:
        async with connections.lease() as lease:
            await lease.run(blocking)

    task = asyncio.create_task(turn())
    async with asyncio.timeout(60):
        await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    was_over = task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await connections.close()
    assert not was_over
    assert ended.is_set()

"""Connections that block, and turns that are cancelled."""

import asyncio
import threading
import time

import psycopg
import pytest

from reporting.projection import connections as module
from reporting.projection.connections import Connections, open_connection


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


def test_connection_that_nobody_waits_for_any_more_is_closed_also_when_the_loop_is_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[psycopg.Connection] = []
    asked, may_open = threading.Event(), threading.Event()

    def connect_late(url: str, *, kind: str, application_name: str = "") -> psycopg.Connection:
        asked.set()
        assert may_open.wait(60)
        opened.append(psycopg.connect(url))
        return opened[0]

    async def stopped_while_connecting() -> None:
        task = asyncio.create_task(open_connection(database_url, kind="batch"))
        assert await asyncio.to_thread(asked.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Long enough that the loop has cancelled what it could by then.
        threading.Timer(0.1, may_open.set).start()

    monkeypatch.setattr(module, "connect", connect_late)
    asyncio.run(stopped_while_connecting())
    until = time.monotonic() + 60
    while not (opened and opened[0].closed) and time.monotonic() < until:
        time.sleep(0.01)
    assert [connection.closed for connection in opened] == [True]

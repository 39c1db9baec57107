"""A service as the supervisor runs it: keeps a diary in Valkey, and asks Postgres before it ends.

Run as `python a_service.py NAME`.
"""

import asyncio
import os
import signal
import sys

import psycopg
import redis.asyncio

from sync_server.embedded.lifeline import watch_lifeline


async def main(name: str) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    watch_lifeline()
    async with redis.asyncio.Redis.from_url(os.environ["REDIS_URL"]) as valkey:
        await valkey.rpush("diary", f"{name} started")
        await told.wait()
        async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"]) as connection:
            await connection.execute("SELECT 1")
        await valkey.rpush("diary", f"{name} ended")


asyncio.run(main(sys.argv[1]))

"""The embedded system with two services, as `sync-server up` composes it.

Run as `python -m tests.embedded.system_with_services --data-dir D`; prints the system's record when ready.
"""

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path

import msgspec
import redis.asyncio

from sync_server.embedded.lifeline import watch_lifeline
from sync_server.embedded.record import running_system
from sync_server.embedded.system import EmbeddedSystem, run_until_signal
from sync_server.logs import configure_logging

SERVICE = Path(__file__).with_name("a_service.py")
SERVICES = ("first", "second")


async def has_started(system: EmbeddedSystem, name: str) -> bool:
    async with redis.asyncio.Redis.from_url(system.redis_url) as valkey:
        diary = await valkey.lrange("diary", 0, -1)
    return bool(diary) and diary[-1] == f"{name} started".encode()


async def start_services(system: EmbeddedSystem) -> None:
    for name in SERVICES:
        command = (sys.executable, str(SERVICE), name)
        await system.start_service(name, command, ready=partial(has_started, system, name))
    system.announce("http://127.0.0.1:1")
    record = msgspec.to_builtins(running_system(system.directory.root))
    record["superuser_url"] = system.postgres.superuser_url
    print(msgspec.json.encode(record).decode(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    configure_logging("INFO", process="up")
    watch_lifeline()
    system = EmbeddedSystem(parser.parse_args().data_dir)
    asyncio.run(run_until_signal(system, start_services))

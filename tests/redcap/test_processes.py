"""Relays and workers as processes, doubled and killed, and Redis emptied: each session once in REDCap."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import redis

from tests.administration.test_relay_processes import until, valkey
from tests.gateway.processes import environment
from tests.redcap.pushed import KEY, MAPPING, Study, row_at
from tests.redcap_double.double import Double
from tests.redcap_double.faults import Call

__all__ = ["valkey"]

RECORDS, EACH = 40, 3


@contextmanager
def process(command: str, study: Study, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`sync-server relay` or `work` for the study's sessions."""
    settings = study.settings
    env = environment(
        DATABASE_URL=settings.database_url,
        REDIS_URL=redis_url,
        DATA_DIR=str(settings.data_dir),
        DATA_ENCRYPTION_KEYS=KEY,
        ENVIRONMENT="test",
        STORE_URL="http://127.0.0.1:9/db",
        OUTBOX_LEASE_SECONDS="2",
        REDCAP_REQUESTS_PER_MINUTE="600",
        LOG_LEVEL="WARNING",
    )
    queues = ("--queues", "redcap") if command == "work" else ()
    started = subprocess.Popen([sys.executable, "-m", "sync_server", command, *queues], env=env)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=60) in (0, -signal.SIGKILL)


def done(study: Study) -> int:
    [(found,)] = study.ask("SELECT count(*) FROM redcap_ledger WHERE state = 'done'")
    return int(found)


def kill(worker: subprocess.Popen[bytes]) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()


@pytest.mark.timeout(180)
async def test_two_relays_and_two_workers_write_each_session_once_though_workers_die_and_redis_is_emptied(
    study: Study, double: Double, redis_url: str, valkey: "redis.Redis"
) -> None:
    study.map(MAPPING)
    order = [(str(record), number) for record in range(RECORDS) for number in range(EACH)]
    random.Random(5).shuffle(order)
    for record, number in order:
        study.write(f"{record}.{number}", record, srt=300.0 + number)
    imported = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(call: Call) -> None:
        _ = call
        loop.call_soon_threadsafe(imported.set)

    # REDCap writes it when the worker has hung up: when it is dead.
    double.faults.hook(before=told, content="record", action="import")
    double.faults.add("late", content="record", action="import", seconds=30.0)
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(process("relay", study, redis_url))
        workers = [running.enter_context(process("work", study, redis_url)) for _ in range(2)]
        await asyncio.wait_for(imported.wait(), 60)
        for worker in workers:
            kill(worker)
        assert study.ask("SELECT count(*) > 0 FROM redcap_ledger WHERE state = 'sent'") == [(True,)]
        valkey.flushall()
        for _ in range(2):
            running.enter_context(process("work", study, redis_url))
        await until(lambda: done(study) > 0)
        valkey.flushall()
        await until(lambda: done(study) == len(order))
    rows = double.project.records.rows
    uids = Counter(values["cog_session_uid"] for values in rows.values() if "cog_session_uid" in values)
    assert uids == {f"lima/{record}.{number}": 1 for record, number in order}
    for record, number in order:
        [(instance,)] = study.ask(
            "SELECT instance FROM redcap_ledger WHERE session_id = %s", f"{record}.{number}"
        )
        assert row_at(double.project, record, instance)["cog_srt_ms"] == f"{300.0 + number:.1f}"
    given = Counter((place.record, place.instance) for place in rows)
    assert given == {(str(record), instance): 1 for record in range(RECORDS) for instance in (1, 2, 3)}
    assert double.requests.busiest_minute() <= 600

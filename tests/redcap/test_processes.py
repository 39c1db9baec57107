"""Relays and workers as processes, doubled and killed, and Redis emptied: each session once in REDCap."""

import random
import subprocess
from collections import Counter
from contextlib import AbstractContextManager, ExitStack

import msgspec
import pytest
import redis

from tests.job_processes import kill, process, until, valkey
from tests.redcap.pushed import KEY, MAPPING, Study, row_at
from tests.redcap_double.double import Double

__all__ = ["valkey"]

RECORDS, EACH = 40, 3


def of_redcap(command: str, study: Study, redis_url: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """`sync-server relay`, or `work` for REDCap's queue."""
    settings = msgspec.structs.replace(study.settings, redis_url=redis_url)
    queues = ("--queues", "redcap") if command == "work" else ()
    return process(command, settings, *queues, DATA_ENCRYPTION_KEYS=KEY, REDCAP_REQUESTS_PER_MINUTE="600")


def done(study: Study) -> int:
    [(found,)] = study.ask("SELECT count(*) FROM redcap_ledger WHERE state = 'done'")
    return int(found)


@pytest.mark.timeout(180)
async def test_two_relays_and_two_workers_write_each_session_once_though_workers_die_and_redis_is_emptied(
    study: Study, double: Double, redis_url: str, valkey: "redis.Redis"
) -> None:
    study.map(MAPPING)
    order = [(str(record), number) for record in range(RECORDS) for number in range(EACH)]
    random.Random(5).shuffle(order)
    for record, number in order:
        study.write(f"{record}.{number}", record, srt=300.0 + number)
    # REDCap writes it when the worker has hung up: when it is dead.
    late = double.faults.add("late", content="record", action="import")
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(of_redcap("relay", study, redis_url))
        workers = [running.enter_context(of_redcap("work", study, redis_url)) for _ in range(2)]
        await until(lambda: late.fired > 0)
        for worker in workers:
            kill(worker)
        assert study.ask("SELECT count(*) > 0 FROM redcap_ledger WHERE state = 'sent'") == [(True,)]
        valkey.flushall()
        for _ in range(2):
            running.enter_context(of_redcap("work", study, redis_url))
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

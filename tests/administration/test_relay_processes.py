"""Relays and workers as processes, with Valkey between them: wiped, killed, two of each."""

import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from reporting.compiled import execute_in
from reporting.publication.requests import publish_documents
from reporting.webhooks.events import Event, announce
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.administration.receiver import receiving
from tests.job_processes import process, until, valkey

__all__ = ["valkey"]

N = 600


def count(office: Office, condition: str) -> int:
    [(found,)] = office.rows(f"SELECT count(*) FROM outbox WHERE {condition}")  # noqa: S608 (the tests' own)
    return int(found)


def enrol_many(office: Office) -> None:
    office.study("SRO", "lima")
    office.rows(
        "INSERT INTO participants (study, code, site) SELECT 'SRO', 'p' || n, 'lima'"
        " FROM generate_series(1, %s) n",
        N,
    )
    names = [f"participant:SRO/p{number}" for number in range(1, N + 1)]
    execute_in(office.connection, publish_documents([("lima", name) for name in names]))


async def generations(office: Office) -> dict[str, int]:
    answer = await office.gateway.call("GET", "/site-lima/_all_docs", token=office.gateway.service)
    return {row["id"]: int(row["value"]["rev"].partition("-")[0]) for row in answer.json["rows"]}


@pytest.mark.timeout(180)
async def test_two_relays_and_two_workers_publish_each_document_once_whatever_dies(
    office: Office, office_settings: Settings, valkey: "redis.Redis"
) -> None:
    await office.gateway.open_site("lima")
    enrol_many(office)
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(process("relay", office_settings))
        first = running.enter_context(process("work", office_settings))
        await until(lambda: count(office, "state = 'leased' AND started_at IS NOT NULL") > 0)
        # In the middle of a delivery: all of Redis, and the only worker.
        valkey.flushall()
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert count(office, "state = 'done'") < N
        for _ in range(2):
            running.enter_context(process("work", office_settings))
        await until(lambda: count(office, "state = 'done'") > 0)
        valkey.flushall()
        await until(lambda: count(office, "state <> 'done'") == 0)
    # The study comes with the site as a whole, which relays compare now and then.
    names = {"study:SRO", *(f"participant:SRO/p{n}" for n in range(1, N + 1))}
    assert await generations(office) == dict.fromkeys(names, 1)


@pytest.mark.timeout(120)
async def test_a_delivery_whose_worker_is_killed_is_sent_again_under_the_same_id(
    office: Office, office_settings: Settings, valkey: "redis.Redis"
) -> None:
    office.study("SRO", "lima")
    async with receiving() as receiver:
        receiver.status = None
        body: dict[str, Any] = {"url": receiver.url, "events": ["participant.enrolled"]}
        assert (await office.as_("admin").post("/api/webhooks", body)).status == 201
        execute_in(office.connection, announce(Event(name="participant.enrolled", occurrence="SRO/s1")))
        with process("relay", office_settings):
            with process("work", office_settings, "--queues", "webhooks") as worker:
                await receiver.came.wait()
                os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
            receiver.status = 200
            # The worker's death is an attempt: the next one would be in five seconds.
            await until(lambda: count(office, "kind = 'webhook' AND state = 'pending'") == 1)
            office.rows("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")
            with process("work", office_settings, "--queues", "webhooks"):
                await until(lambda: count(office, "kind = 'webhook' AND state = 'done'") == 1)
    assert len(receiver.received) == 2
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1
    assert office.rows("SELECT attempts FROM outbox WHERE kind = 'webhook'") == [(2,)]

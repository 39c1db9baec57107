"""Relays and workers as processes: killed when the mail server has a mail, doubled, and Redis emptied."""

import asyncio
import subprocess
import zlib
from collections import Counter
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import pytest
import redis

from sync_server.settings import Settings
from tests.administration.office import Office
from tests.job_processes import kill, process, until, valkey
from tests.reminders.mail_server import MailServer
from tests.reminders.world import a_study, enrol, reminders

__all__ = ["valkey"]

ON_DUE: dict[str, Any] = {"moment": "on_due"}
N = 24


def of_reminders(command: str, settings: Settings) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """`sync-server relay`, or `work` for the queue of reminders."""
    queues = ("--queues", "reminders") if command == "work" else ()
    mail = {"SMTP_URL": str(settings.smtp_url), "MAIL_FROM": str(settings.mail_from)}
    return process(command, settings, *queues, **mail)


def count(office: Office, state: str) -> int:
    [(found,)] = office.rows("SELECT count(*) FROM reminders WHERE state = %s", state)
    return int(found)


def attempts(office: Office) -> int:
    [(made,)] = office.rows("SELECT attempts FROM outbox WHERE kind = 'reminder'")
    return int(made)


@pytest.mark.timeout(120)
async def test_a_worker_killed_when_the_server_has_the_mail_and_we_do_not_know_repeats_it_once_as_the_same(
    office: Office, office_settings: Settings, mails: MailServer, valkey: "redis.Redis"
) -> None:
    _ = valkey
    team = await a_study(office, ("due", ON_DUE))
    await enrol(team, "p1")
    mails.held = True
    with of_reminders("relay", office_settings):
        with of_reminders("work", office_settings) as worker:
            # Told `250 OK`, and not yet back to write it down.
            assert await asyncio.to_thread(mails.is_waiting.wait, 60)
            kill(worker)
        assert reminders(office, "state, repeats") == [("sending", 0)]
        mails.held = False
        mails.release.set()
        await until(lambda: attempts(office) == 1)
        office.rows("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'reminder'")
        with of_reminders("work", office_settings):
            await until(lambda: count(office, "sent") == 1)
    assert reminders(office, "state, repeats") == [("sent", 1)]
    assert len(mails.mails) == 2
    assert len(set(mails.message_ids)) == 1


def carried(client: "redis.Redis") -> str:
    """What RQ's jobs say, unpacked."""
    told: Any = [client.hgetall(key) for key in client.scan_iter("rq:job:*")]
    texts = []
    for value in (value for fields in told for value in fields.values()):
        with suppress(zlib.error):
            value = zlib.decompress(value)  # noqa: PLW2901 (the same, unpacked)
        texts.append(value.decode(errors="replace"))
    return "\n".join(texts)


@pytest.mark.timeout(180)
async def test_two_relays_and_two_workers_send_each_once_though_redis_is_emptied(
    office: Office, office_settings: Settings, mails: MailServer, valkey: "redis.Redis"
) -> None:
    team = await a_study(office, ("due", ON_DUE))
    await enrol(team, "p0")
    # Many more like the first.
    office.rows(
        "INSERT INTO participants (study, code, site, status, contact, enrolled_on)"
        " SELECT study, 'p' || n, site, status, contact, enrolled_on"
        " FROM participants, generate_series(1, %s) n",
        N - 1,
    )
    office.rows(
        "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to)"
        " SELECT study, 'p' || n, code, site, state, due_on, window_from, window_to"
        " FROM visits, generate_series(1, %s) n",
        N - 1,
    )
    office.rows(
        "INSERT INTO reminders (study, participant, visit, rule, channel, occurrence, planned_at,"
        " useful_until) SELECT study, 'p' || n, visit, rule, channel, occurrence, planned_at, useful_until"
        " FROM reminders, generate_series(1, %s) n",
        N - 1,
    )
    with ExitStack() as running:
        for command in ("relay", "relay", "work", "work"):
            running.enter_context(of_reminders(command, office_settings))
        in_redis: list[str] = []

        def has_begun() -> bool:
            in_redis.append(carried(valkey))
            return count(office, "sent") > 0

        await until(has_begun)
        valkey.flushall()
        await until(lambda: count(office, "sent") > N // 2)
        valkey.flushall()
        await until(lambda: count(office, "sent") == N)
    # Entries go through Redis as numbers, and nothing with them.
    everything = "".join(in_redis)
    assert '"reminder"' in everything
    assert "home.example" not in everything
    assert "SRO" not in everything
    assert office.rows("SELECT DISTINCT state, repeats FROM reminders") == [("sent", 0)]
    assert set(Counter(mails.message_ids).values()) == {1}
    assert len(mails.mails) == N

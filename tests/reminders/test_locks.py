"""Two at once about one participant: whoever has the lock first counts, and neither waits in a circle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from reporting.compiled import execute_in
from reporting.visits.statements import lock_participants
from sync_server.keys import SETTINGS
from sync_server.opt_out_links import opt_out_token
from tests.administration.desk import Desk
from tests.administration.office import Office
from tests.job_processes import until
from tests.reminders.mail_server import MailServer
from tests.reminders.world import REMINDERS, a_study, enrol, queue

ON_DUE: tuple[str, dict[str, Any]] = ("due", {"moment": "on_due"})
WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@asynccontextmanager
async def first(office: Office, act: Awaitable[Any]) -> AsyncIterator[psycopg.Connection[Any]]:
    """A transaction that has the participant's lock when the act comes to it; the act ends after it."""
    with psycopg.connect(office.gateway.app[SETTINGS].database_url) as holder:
        execute_in(holder, lock_participants([("SRO", "p1")]))
        acting = asyncio.ensure_future(act)
        await until(lambda: bool(office.rows(WAITING)))
        yield holder
        holder.commit()
        await acting


def erase(holder: psycopg.Connection[Any]) -> None:
    for table in ("reminders", "reminder_opt_outs", "reminder_timezones", "visits", "participants"):
        holder.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


async def test_who_is_erased_while_a_worker_looks_leaves_no_timezone(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1", contact={"email": "p1@home.example", "timezone": "Asia/Tokyo"})
    office.rows("DELETE FROM reminder_timezones")
    queue(office)
    desk.relay.turn()
    async with first(office, desk.work()) as eraser:
        erase(eraser)
    assert office.rows("SELECT * FROM reminder_timezones") == []
    assert mails.mails == []


async def test_who_is_erased_while_they_opt_out_leaves_no_opt_out(office: Office, desk: Desk) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1")
    [(number,)] = office.rows("SELECT id FROM reminders")
    token = opt_out_token(desk.resources.sealer, number, "SRO", "p1")
    said = asyncio.ensure_future(office.api.call("POST", f"{REMINDERS}/opt-out?token={token}", data={}))
    async with first(office, said) as eraser:
        erase(eraser)
    assert (await said).status == 404
    assert office.rows("SELECT * FROM reminder_opt_outs") == []


async def test_a_contact_and_a_worker_that_note_a_timezone_do_not_wait_for_each_other(
    office: Office,
) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1", contact={"timezone": "Asia/Tokyo"})
    change = {"contact": {"timezone": "America/Lima"}}
    said = asyncio.ensure_future(team.patch("/api/participants/SRO/p1", change, If_Match="*"))
    async with first(office, said) as worker:
        worker.execute("UPDATE reminder_timezones SET timezone = 'Asia/Kathmandu'")
    assert (await said).status == 200
    assert office.rows("SELECT timezone FROM reminder_timezones") == [("America/Lima",)]

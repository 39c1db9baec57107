"""Reminders follow what they depend on, in the transaction of its change: the API's, the projector's."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from reporting.compiled import execute_in
from reporting.engine import sync_engine
from reporting.outbox.claims import Started, claim, start
from reporting.outbox.policy import Dropped
from reporting.visits.statements import lock_participants
from sync_server.jobs.reminders import deliver_reminder
from sync_server.keys import SETTINGS
from tests.administration.desk import Desk
from tests.administration.office import Office
from tests.administration.test_visits_completion import sitting
from tests.job_processes import until
from tests.reminders.mail_server import MailServer
from tests.reminders.world import STUDY, TODAY, a_study, enrol, queue, remind, reminders, try_again

IN_A_WEEK = ("before", {"moment": "before_due", "days": 3, "send_at": "09:00", "useful_hours": 12})
PERSON = "/api/participants/SRO/p1"
VISIT = "/api/visits/SRO/p1/baseline"


def planned(office: Office) -> datetime:
    [(at,)] = reminders(office, "planned_at")
    assert isinstance(at, datetime)
    return at.astimezone(UTC)


def hours_of(at: datetime) -> tuple[Any, int]:
    return at.date() - TODAY, at.hour


async def test_days_timezones_and_rules_move_what_is_planned(office: Office) -> None:
    team, admin = await a_study(office, IN_A_WEEK), office.as_("admin")
    await enrol(team, "p1", due=7)
    assert hours_of(planned(office)) == (timedelta(4), 9)
    # The site's clock, the participant's own, which counts where it is known, and one that nobody knows.
    lima = {"timezone": "America/Lima"}
    assert (await admin.patch("/api/sites/lima", lima, If_Match="*")).status == 200
    assert hours_of(planned(office)) == (timedelta(4), 14)
    for zone, hour in (("Asia/Kathmandu", 3), ("Mars/Olympus", 14), (None, 14), ("Asia/Tokyo", 0)):
        contact = {"contact": {"timezone": zone}}
        assert (await team.patch(PERSON, contact, If_Match="*")).status == 200
        assert planned(office).hour == hour
    site_clock = {"quiet_hours": None, "clock": "site"}
    assert (await team.put(f"{STUDY}/settings", site_clock, If_Match="*")).status == 200
    assert hours_of(planned(office)) == (timedelta(4), 14)
    quiet = {"quiet_hours": {"start": "08:00", "end": "10:30"}, "clock": "site"}
    assert (await team.put(f"{STUDY}/settings", quiet, If_Match="*")).status == 200
    assert planned(office).strftime("%H:%M") == "15:30"
    # The visit is moved.
    moved = {"due_on": str(TODAY + timedelta(20)), "reason": "on holiday"}
    assert (await team.patch(VISIT, moved, If_Match="*")).status == 200
    assert hours_of(planned(office))[0] == timedelta(17)
    # The rule says something else: without being asked to, nothing changes.
    rule = {**IN_A_WEEK[1], "days": 5, "send_at": "12:00"}
    before = planned(office)
    tried = await team.put(f"{STUDY}/rules/before?dry_run=true", rule, If_Match="*")
    assert (tried.body["planned"], tried.body["cancelled"], planned(office)) == (1, 0, before)
    done = await team.put(f"{STUDY}/rules/before", rule, If_Match="*")
    assert done.body["reminders"][0]["planned_at"] == planned(office).isoformat().replace("+00:00", "Z")
    assert hours_of(planned(office)) == (timedelta(15), 17)


async def test_what_ends_a_visit_or_its_rule_cancels_what_is_planned_until_it_is_taken_back(
    office: Office,
) -> None:
    team = await a_study(office, IN_A_WEEK)
    await enrol(team, "p1", due=7)

    async def state_after(answer: Any) -> Any:
        assert answer.status in (200, 204), answer.body
        return reminders(office, "state, reason")[0]

    gone = {"status": "withdrawn", "reason": "moved away"}
    assert await state_after(await team.patch(PERSON, gone, If_Match="*")) == ("cancelled", "visit_cancelled")
    back = {"status": "enrolled", "reason": "a mistake"}
    assert await state_after(await team.patch(PERSON, back, If_Match="*")) == ("planned", None)
    off = {"state": "cancelled", "reason": "ill"}
    assert await state_after(await team.patch(VISIT, off, If_Match="*")) == ("cancelled", "visit_cancelled")
    on = {"state": "restored", "reason": "well again"}
    assert await state_after(await team.patch(VISIT, on, If_Match="*")) == ("planned", None)
    rule = f"{STUDY}/rules/before"
    retired = await team.delete(rule, {"reason": "not wanted"}, If_Match="*")
    assert await state_after(retired) == ("cancelled", "rule")
    assert (await team.delete(rule, {"reason": "again"}, If_Match="*")).status == 409
    assert await state_after(await team.put(rule, IN_A_WEEK[1], If_Match="*")) == ("planned", None)
    assert await state_after(await team.put(f"{STUDY}/opt-outs/p1/email", {})) == ("cancelled", "opted_out")
    again = await team.delete(f"{STUDY}/opt-outs/p1/email", {"reason": "asked for it"})
    assert await state_after(again) == ("planned", None)
    # Another channel is another reminder.
    sms = {**IN_A_WEEK[1], "channel": "sms"}
    assert (await team.put(rule, sms, If_Match="*")).status == 200
    assert reminders(office, "channel, state, reason") == [
        ("email", "cancelled", "rule"),
        ("sms", "planned", None),
    ]
    # What a person has cancelled stays so, whatever changes.
    [(number,)] = office.rows("SELECT id FROM reminders WHERE channel = 'sms'")
    cancelled = await team.post(f"/api/schedules/reminders/{number}/cancel", {"reason": "told by phone"})
    assert (cancelled.body["reason"], cancelled.body["cancelled_reason"]) == ("person", "told by phone")
    assert (await team.post(f"/api/schedules/reminders/{number}/cancel", {"reason": "why"})).status == 409
    moved = {"due_on": str(TODAY + timedelta(20)), "reason": "on holiday"}
    assert (await team.patch(VISIT, moved, If_Match="*")).status == 200
    listed = await team.get("/api/schedules/reminders", state="cancelled", reason="person")
    assert [row["id"] for row in listed.body["data"]] == [number]


async def test_a_late_session_cancels_what_is_planned_and_what_waits_to_be_sent(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    every_day = {"moment": "overdue", "days": 1, "repeat_every_days": 1, "repeat_times": 4}
    team = await a_study(office, ("overdue", {**every_day, "useful_hours": 24, "send_at": "00:00"}))
    await office.gateway.open_site("lima")
    token = await office.gateway.enrol("lima", "tab-1")
    await enrol(team, "s012", due=-2)
    # One was too late before there was anybody; one is due now, three come later.
    assert [occurrence for _, occurrence, *_ in reminders(office)] == [1, 2, 3, 4]
    assert queue(office) == 1
    assert reminders(office)[0] == ("overdue", 1, "queued", None)
    started = datetime.now(UTC) - timedelta(days=9)
    session = sitting("done-long-ago", started_at=started.strftime("%Y-%m-%dT%H:%M:%SZ"), visit="baseline")
    assert await office.gateway.push("site-lima", session, token=token) == []
    await office.project()
    assert office.rows("SELECT state FROM visits") == [("completed",)]
    assert {(state, reason) for _, _, state, reason in reminders(office)} == {("cancelled", "completed")}
    await desk.drain()
    assert mails.mails == []


async def test_a_visit_that_is_completed_while_nobody_knows_whether_a_mail_was_taken_is_not_repeated(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", {"moment": "on_due"}))
    await enrol(team, "p1")
    mails.answer = None
    await remind(office, desk)
    office.rows("UPDATE visits SET state = 'completed'")
    mails.answer = "250 OK"
    try_again(office)
    await desk.drain()
    assert reminders(office, "state, reason, repeats") == [("cancelled", "completed", 0)]
    assert len(mails.mails) == 1


async def test_a_timezone_that_was_not_known_is_when_the_contact_is_opened(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", {"moment": "on_due"}))
    zone = f"Etc/GMT{-11 if datetime.now(UTC).hour >= 12 else 11:+d}"
    await enrol(team, "p1", contact={"email": "p1@home.example", "timezone": zone})
    # As it is of participants that were there before there were reminders.
    before = reminders(office, "planned_at")
    office.rows("DELETE FROM reminder_timezones")
    assert (await team.put(f"{STUDY}/settings", {"quiet_hours": None}, If_Match="*")).status == 200
    assert reminders(office, "planned_at") != before
    queue(office, at=datetime.now(UTC) + timedelta(days=1))
    await desk.drain()
    assert office.rows("SELECT timezone FROM reminder_timezones") == [(zone,)]
    assert reminders(office, "planned_at") == before
    # Planned anew: the next turn sends it, if it is due then.
    assert mails.mails == []


async def test_who_completes_a_visit_while_a_worker_looks_at_its_reminder_comes_first(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", {"moment": "on_due"}))
    await enrol(team, "p1")
    queue(office)
    desk.relay.turn()
    with psycopg.connect(office.gateway.app[SETTINGS].database_url) as projector:
        execute_in(projector, lock_participants([("SRO", "p1")]))
        working = asyncio.create_task(desk.work())
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: bool(office.rows(waiting)))
        projector.execute("UPDATE visits SET state = 'completed'")
        projector.commit()
        await working
    assert reminders(office, "state, reason") == [("cancelled", "completed")]
    assert mails.mails == []


async def test_a_worker_that_slept_until_another_has_the_entry_leaves_it_alone(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", {"moment": "on_due"}))
    await enrol(team, "p1")
    queue(office)
    engine, lease = sync_engine(office.gateway.app[SETTINGS].database_url), timedelta(minutes=1)
    with engine.begin() as connection:
        [claimed] = connection.execute(claim("reminder", limit=1, lease=lease)).all()
        [begun] = connection.execute(start([(claimed.id, claimed.lease)], lease=lease)).all()
    engine.dispose()
    entry = Started(*begun)
    # Planned anew meanwhile, and asked for again.
    office.rows("UPDATE reminders SET state = 'planned'")
    queue(office)
    assert await deliver_reminder(entry, desk.resources) == Dropped("Another worker has it now.")
    assert (mails.mails, reminders(office, "state")) == ([], [("queued",)])
    await desk.drain()
    assert (len(mails.mails), reminders(office, "state, repeats")) == (1, [("sent", 0)])

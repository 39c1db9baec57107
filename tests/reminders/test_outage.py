"""After an outage: what is still useful is sent, never a flood, and it says what was left out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office
from tests.reminders.mail_server import MailServer
from tests.reminders.world import (
    STUDY,
    a_study,
    enrol,
    entries,
    queue,
    remind,
    reminders,
    try_again,
)

ON_DUE: dict[str, Any] = {"moment": "on_due"}
EVERY_DAY: dict[str, Any] = {"moment": "overdue", "days": 1, "repeat_every_days": 1, "repeat_times": 20}
NOW = datetime.now(UTC)


async def test_after_a_week_without_a_relay_the_newest_of_a_visit_is_sent_and_the_rest_says_why_not(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", ON_DUE), ("overdue", {**EVERY_DAY, "useful_hours": 72}))
    for code in ("p1", "p2"):
        await enrol(team, code, due=0)
    # Planned day after day, and nobody there for a week.
    office.rows("UPDATE reminders SET planned_at = planned_at - interval '7 days'")
    office.rows("UPDATE reminders SET useful_until = useful_until - interval '7 days'")
    assert queue(office) == 2
    states = reminders(office, "participant, rule, occurrence, state, reason")
    for code in ("p1", "p2"):
        mine = [row[1:] for row in states if row[0] == code]
        assert mine[0] == ("due", 0, "cancelled", "too_late")
        overdue = mine[1:]
        # The 8th occurrence is tomorrow's; today's is the 7th.
        assert {row[2:] for row in overdue[:4]} == {("cancelled", "too_late")}
        assert {row[2:] for row in overdue[4:6]} == {("cancelled", "superseded")}
        assert overdue[6][2:] == ("queued", None)
        assert {row[2:] for row in overdue[7:]} == {("planned", None)}
    assert queue(office) == 0
    # The handler looks at the visit itself, for which nothing but today's day counts.
    assert len(mails.mails) == 0


async def test_a_mail_server_that_was_away_is_tried_until_it_is_too_late(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", ON_DUE))
    await enrol(team, "p1")
    async with at_desk(office, smtp_url="smtp://127.0.0.1:9") as cut_off:
        await remind(office, cut_off)
        [(state, attempts, error)] = entries(office)
        assert (state, attempts) == ("pending", 1)
        assert error == "The mail server was not reached (ConnectionRefusedError)."
        assert reminders(office, "state, repeats") == [("queued", 0)]
    async with at_desk(office, smtp_url=None) as without:
        try_again(office)
        await without.drain()
        assert entries(office) == [("pending", 1, "SMTP_URL and MAIL_FROM are not set.")]
    # Too late for the reminder: the entry finds that out by itself.
    queue(office, at=NOW + timedelta(days=8))
    assert reminders(office, "state, reason") == [("cancelled", "too_late")]
    try_again(office)
    await desk.drain()
    assert entries(office) == [("discarded", 2, "It is cancelled.")]
    assert mails.mails == []


async def test_a_day_has_so_many_reminders_over_all_channels_and_the_rest_waits_or_is_too_late(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    rules = [
        ("r1", ON_DUE),
        ("r2", {**ON_DUE, "channel": "push"}),
        ("r3", {**ON_DUE, "channel": "sms", "useful_hours": 24}),
    ]
    team = await a_study(office, *rules, most_per_day=1)
    await enrol(team, "p1", contact={"email": "p1@home.example", "phone": "1"})
    assert queue(office) == 3
    # One after the other, as workers do who find the same participant.
    office.rows(
        "UPDATE outbox SET next_attempt_at = now() + key::int * interval '1 h' WHERE kind = 'reminder'"
    )
    for number in (1, 2, 3):
        office.rows(
            "UPDATE outbox SET next_attempt_at = now() WHERE kind = 'reminder' AND key = %s", str(number)
        )
        await desk.drain()
    assert reminders(office) == [
        ("r1", 0, "sent", None),
        ("r2", 0, "queued", None),
        ("r3", 0, "cancelled", "daily_limit"),
    ]
    [(state, error, at)] = office.rows(
        "SELECT state, error, next_attempt_at FROM outbox WHERE kind = 'reminder' AND key = '2'"
    )
    assert (state, error) == ("pending", "Not now: daily_limit.")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") == f"{tomorrow} 00:00"
    assert len(mails.mails) == 1
    waits = (await team.get("/api/schedules/reminders", state="queued")).body["data"]
    assert [each["waits_until"] for each in waits] == [f"{tomorrow}T00:00:00Z"]
    # Who waits for the next day is not late.
    assert "metricis_reminders_late_seconds 0.0" in (await office.api.get("/api/metrics")).body


async def test_quiet_hours_and_a_paused_study_postpone_what_waits_already(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("due", ON_DUE))
    await enrol(team, "p1")
    assert queue(office) == 1
    office.rows("UPDATE studies SET status = 'paused'")
    await desk.drain()
    assert entries(office) == [("pending", 0, "The study is paused.")]
    # While it is paused nothing new is queued either.
    await enrol(team, "p2")
    assert queue(office) == 0
    office.rows("UPDATE studies SET status = 'active'")
    hour = datetime.now(UTC).hour
    office.rows(
        "UPDATE reminder_settings SET quiet_from = make_time(%s, 0, 0), quiet_to = make_time(%s, 0, 0)",
        hour,
        (hour + 2) % 24,
    )
    try_again(office)
    await desk.drain()
    [(state, attempts, error)] = entries(office)
    assert (state, attempts, error) in (
        ("pending", 0, "Not now: quiet_hours."),
        # At midnight: planned for the end of the quiet hours.
        ("pending", 0, "It is due later."),
    )
    assert mails.mails == []


@pytest.mark.parametrize("silent", ["sending", "queued"])
async def test_what_nobody_has_said_the_end_of_is_ended_once_it_is_of_no_use(
    office: Office, silent: str
) -> None:
    team = await a_study(office, ("due", ON_DUE))
    await enrol(team, "p1")
    queue(office)
    office.rows("UPDATE reminders SET state = %s, sending_at = now()", silent)
    office.rows("UPDATE outbox SET state = 'discarded' WHERE kind = 'reminder'")
    queue(office, at=NOW + timedelta(days=9))
    ended = {"sending": ("failed", "uncertain"), "queued": ("cancelled", "too_late")}
    assert reminders(office, "state, reason") == [ended[silent]]
    listed = (await team.get("/api/schedules/reminders", reason=ended[silent][1])).body["data"]
    assert [row["participant"] for row in listed] == ["p1"]


async def test_a_test_waits_a_day_for_a_mail_server_and_not_for_ever(office: Office) -> None:
    team = await a_study(office, ("due", ON_DUE))
    assert (await team.post(f"{STUDY}/test", {"rule": "due"})).status == 202
    async with at_desk(office, smtp_url=None) as without:
        await without.drain()
        assert [state for state, *_ in entries(office)] == ["pending"]
        office.rows("UPDATE outbox SET created_at = now() - interval '25 hours' WHERE kind = 'reminder'")
        try_again(office)
        await without.drain()
    assert entries(office) == [("discarded", 1, "SMTP_URL and MAIL_FROM are not set.")]

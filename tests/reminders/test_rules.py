"""What people say of reminders: rules, settings, texts; and what they see before anybody is told."""

from typing import Any

import pytest

from sync_server.jobs.reminders import NO_MAIL_SERVER
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office
from tests.reminders.mail_server import MailServer
from tests.reminders.world import REMINDERS, STUDY, TODAY, a_study, enrol, queue, reminders

BEFORE: dict[str, Any] = {"moment": "before_due", "days": 3, "send_at": "09:00", "useful_hours": 12}


async def test_what_cannot_be_is_refused_with_where_and_why(office: Office) -> None:
    team = await a_study(office, ("before", BEFORE))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**BEFORE, "days": 0}, "$.days"),
        ({**BEFORE, "moment": "on_due"}, "$.days"),
        ({"moment": "on_due", "repeat_times": 1, "repeat_every_days": 1}, "$.repeat_times"),
        ({**BEFORE, "repeat_times": 2}, "$.repeat_times"),
        ({**BEFORE, "visits": ["baseline", "none"]}, "$.visits"),
        ({**BEFORE, "send_at": "9:00"}, "$.send_at"),
        ({**BEFORE, "useful_hours": 169}, "$.useful_hours"),
    ]
    for rule, path in wrong:
        answer = await team.put(f"{STUDY}/rules/wrong", rule)
        assert answer.error == (422, "invalid_request"), rule
        assert answer.body["error"]["details"]["path"] == path
    same = {"quiet_hours": {"start": "08:00", "end": "08:00"}}
    assert (await team.put(f"{STUDY}/settings", same, If_Match="*")).status == 422
    for text in ("{Name}", "{name", "name}", "{}", "{name.__class__}", "{{name}}"):
        told = await team.put(f"{STUDY}/templates/before/en", {"text": f"Hello {text}"})
        assert told.error == (422, "invalid_request"), text
        assert "{window_to}" in told.body["error"]["message"]
    header = {"subject": "a\r\nBcc: b@c.example", "text": "x"}
    assert (await team.put(f"{STUDY}/templates/before/en", header)).status == 422
    assert (await team.put(f"{STUDY}/templates/none/en", {"text": "x"})).status == 404
    assert (await team.put(f"{STUDY}/templates/before/klingon!", {"text": "x"})).status == 422
    # What was read before is not written over.
    assert (await team.put(f"{STUDY}/rules/before", BEFORE)).status == 428
    assert (await team.put(f"{STUDY}/rules/before", BEFORE, If_Match='"7"')).status == 412
    assert (await team.put(f"{STUDY}/settings", {}, If_Match='"0"')).status == 412
    made = await office.as_("admin").post("/api/studies", {"code": "reminders"})
    assert made.error == (422, "invalid_request")


async def test_a_preview_says_what_would_be_sent_when_and_opens_no_contact(office: Office) -> None:
    twice = {"moment": "overdue", "days": 1, "repeat_every_days": 50, "repeat_times": 1}
    team = await a_study(office, ("before", BEFORE), ("overdue", twice))
    said = {"subject": "{visit} le {due_on}", "text": "Bonjour {name}!"}
    assert (await team.put(f"{STUDY}/templates/before/fr", said)).status == 200
    query = {"due_on": "2126-05-10", "timezone": "America/Lima", "language": "fr-CA", "rule": "before"}
    told = (await team.get(f"{STUDY}/preview", **query)).body
    assert told["timezone"] == "America/Lima"
    [one] = told["reminders"]
    assert (one["planned_at"], one["local_time"]) == ("2126-05-07T14:00:00Z", "2126-05-07 09:00")
    assert one["subject"] == "visit le vendredi 10 mai 2126"
    assert one["text"].startswith("Bonjour …!\n\nPour ne plus recevoir de rappels")
    await enrol(team, "p1", due=2, language="fr")
    told = (await team.get(f"{STUDY}/preview", participant="p1")).body["reminders"]
    assert {each["language"] for each in told} == {"fr"}
    assert told[1]["subject"].startswith("Votre visite")
    assert "« Baseline »" in told[1]["text"]
    reasons = [(each["rule"], each["occurrence"], each["reason"]) for each in told]
    assert reasons == [("before", 0, "too_late"), ("overdue", 0, None), ("overdue", 1, "window")]
    assert "Ada" not in str(told)
    for wrong in ({}, {"participant": "p1", "due_on": "2026-01-01"}, {"due_on": str(TODAY), "timezone": "x"}):
        assert (await team.get(f"{STUDY}/preview", **wrong)).status == 422
    assert (await team.get(f"{STUDY}/preview", participant="nobody")).status == 404
    assert (await team.get(f"{STUDY}/preview", due_on=str(TODAY), rule="none")).status == 404
    assert office.rows("SELECT count(*) FROM outbox WHERE kind = 'reminder'") == [(0,)]


async def test_a_test_goes_to_who_asks_for_it_and_has_nothing_of_a_participant(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ("before", {**BEFORE, "channel": "sms"}))
    await enrol(team, "p1", due=9)
    answer = await team.post(f"{STUDY}/test", {"rule": "before", "language": "fr"})
    assert answer.status == 202
    assert (await team.post(f"{STUDY}/test", {"rule": "none"})).status == 404
    async with at_desk(office, smtp_url=None) as without:
        await without.drain()
        job = (await team.get(f"/api/jobs/{answer.body['id']}")).body
        assert (job["state"], job["error"]) == ("pending", NO_MAIL_SERVER.why)
    office.rows("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")
    await desk.drain()
    [mail] = mails.mails
    assert str(mail["To"]) == team.email
    assert str(mail["Subject"]).startswith("[Test] Votre visite")
    assert mail["List-Unsubscribe"] is None
    text = mail.get_content()
    assert "Ada" not in text
    assert "p1" not in text
    assert reminders(office, "state") == [("planned",)]


@pytest.mark.parametrize("clock", ["participant", "site"])
async def test_a_broken_template_fails_its_reminder_and_a_person_sees_it(
    office: Office, desk: Desk, mails: MailServer, clock: str
) -> None:
    team = await a_study(office, ("due", {"moment": "on_due"}), clock=clock)
    assert (await team.put(f"{STUDY}/templates/due/en", {"text": "Come {name}."})).status == 200
    # As a version that knew more placeholders has left it.
    office.rows("UPDATE reminder_templates SET text = 'Come {nickname}.'")
    await enrol(team, "p1")
    queue(office)
    await desk.drain()
    failed = (await team.get(REMINDERS, state="failed")).body["data"]
    assert [each["reason"] for each in failed] == ["template"]
    [(error,)] = office.rows("SELECT error FROM outbox WHERE kind = 'reminder' AND state = 'dead'")
    assert "{nickname} is no placeholder" in error
    assert mails.mails == []
    assert (await team.delete(f"{STUDY}/templates/due/en", If_Match="*")).status == 204
    assert (await team.delete(f"{STUDY}/templates/due/en", If_Match="*")).status == 404

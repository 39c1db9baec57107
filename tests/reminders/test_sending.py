"""A reminder reaches its participant once, in their words, or says why not."""

import re
from typing import Any

import aiohttp
import pytest

from tests.administration.desk import Desk
from tests.administration.office import Office
from tests.administration.receiver import receiving
from tests.reminders.mail_server import MailServer
from tests.reminders.world import (
    REMINDERS,
    STUDY,
    TODAY,
    a_study,
    enrol,
    entries,
    remind,
    reminders,
    try_again,
)

ON_DUE: tuple[str, dict[str, Any]] = ("due", {"moment": "on_due"})
OPT_OUT = f"{REMINDERS}/opt-out"


async def test_a_mail_is_sent_once_in_the_participants_language_and_ends_reminders_by_one_click(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    later = ("later", {"moment": "overdue", "days": 3, "channel": "push"})
    team = await a_study(office, ON_DUE, later, sender_name="Étude SRO")
    said = {"subject": "Visite {visit}", "text": "Bonjour {name}, {due_on} à {site}: {visit}."}
    assert (await team.put(f"{STUDY}/templates/due/fr", said)).status == 200
    await enrol(team, "p1", language="fr-CA", contact={"email": "ada@home.example", "name": "Ada {stop}"})
    for _ in range(2):
        await remind(office, desk)
    [mail] = mails.mails
    assert (str(mail["To"]), str(mail["Subject"])) == ("ada@home.example", "Visite Baseline")
    assert str(mail["From"]) == "Étude SRO <sync@clinic.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert text.startswith("Bonjour Ada {stop}, ")
    assert f"{TODAY.year} à lima: Baseline." in text
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    [link] = re.findall(r"<(https://sync\.clinic\.example(\S+))>", mail["List-Unsubscribe"])
    assert link[0] in text
    [(number, state, message_id, repeats)] = office.rows(
        "SELECT id, state, message_id, repeats FROM reminders WHERE rule = 'due'"
    )
    assert (state, message_id, repeats) == ("sent", mail["Message-ID"], 0)
    assert entries(office) == [("done", 1, None)]

    # The link: looking changes nothing, and a token that is not ours opens nothing.
    path, token = link[1].split("?token=")
    page = await office.api.get(path, token=token)
    assert (page.status, page.headers["Referrer-Policy"]) == (200, "no-referrer")
    assert 'method="post"' in page.body
    assert office.rows("SELECT count(*) FROM reminder_opt_outs") == [(0,)]
    for other in (f"{number + 1}.{token.partition('.')[2]}", "nonsense", f"{number}."):
        assert (await office.api.get(path, token=other)).status == 404
        assert (await office.api.call("POST", f"{path}?token={other}", data={})).status == 404
    # Mail programs send it in parts, or URL-encoded.
    in_parts = aiohttp.FormData({"List-Unsubscribe": "One-Click"}, default_to_multipart=True)
    for one_click in (in_parts, {"List-Unsubscribe": "One-Click"}, b"anything"):
        assert (await office.api.call("POST", link[1], data=one_click)).status == 200
    outs = (await team.get(f"{STUDY}/opt-outs?participant=p1")).body["data"]
    assert (await team.get(f"{STUDY}/opt-outs?participant=p2")).body["data"] == []
    assert [(each["channel"], each["by_whom"]) for each in outs] == [("email", "participant")]
    assert reminders(office) == [("due", 0, "sent", None), ("later", 0, "planned", None)]
    all_of_them = aiohttp.FormData({"channel": "all"}, default_to_multipart=True)
    assert (await office.api.call("POST", link[1], data=all_of_them)).status == 200
    assert reminders(office) == [("due", 0, "sent", None), ("later", 0, "cancelled", "opted_out")]
    # Whoever changes their mind tells the team.
    back = {"reason": "asked for it on the phone"}
    assert (await team.delete(f"{STUDY}/opt-outs/p1/all", back)).status == 204
    assert reminders(office)[1] == ("later", 0, "planned", None)
    assert (await team.delete(f"{STUDY}/opt-outs/p1/all", back)).status == 404
    acts = office.rows("SELECT action FROM audit_log WHERE action LIKE 'reminder.%%' ORDER BY id")
    assert [action for (action,) in acts] == [*["reminder.opt_out"] * 2, "reminder.opt_in"]


async def test_who_cannot_be_told_is_not_and_it_says_why(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ON_DUE, ("sms", {"moment": "on_due", "channel": "sms"}))
    await enrol(team, "p1", contact={"name": "Ada"})
    await enrol(team, "p2", contact={"email": "no address", "phone": "+51 1 234"})
    await remind(office, desk)
    assert mails.mails == []
    assert reminders(office, "participant, rule, state, reason") == [
        ("p1", "due", "cancelled", "no_address"),
        ("p1", "sms", "cancelled", "no_gateway"),
        ("p2", "due", "failed", "no_address"),
        ("p2", "sms", "cancelled", "no_gateway"),
    ]
    # An address that becomes known in time counts.
    change = {"contact": {"email": "ada@home.example"}, "reason": "told us"}
    assert (await team.patch("/api/participants/SRO/p1", change, If_Match="*")).status == 200
    await remind(office, desk)
    assert [str(mail["To"]) for mail in mails.mails] == ["ada@home.example"]


@pytest.mark.parametrize(
    ("recipient", "answer", "outcome", "mails_taken", "again"),
    [
        ("250 OK", "451 come again", ("queued", None, 0), 1, ("sent", None, 0)),
        ("250 OK", "554 never", ("failed", "refused", 0), 1, ("failed", "refused", 0)),
        ("450 busy", "250 OK", ("queued", None, 0), 0, ("sent", None, 0)),
        ("550 nobody", "250 OK", ("failed", "refused", 0), 0, ("failed", "refused", 0)),
        ("250 OK", None, ("sending", None, 0), 1, ("sent", None, 1)),
    ],
)
async def test_what_the_mail_server_says_is_what_becomes_of_it(  # noqa: PLR0917
    office: Office,
    desk: Desk,
    mails: MailServer,
    recipient: str,
    answer: str | None,
    outcome: Any,
    mails_taken: int,
    again: Any,
) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1")
    mails.recipient, mails.answer = recipient, answer
    await remind(office, desk)
    assert reminders(office, "state, reason, repeats") == [outcome]
    assert len(mails.mails) == mails_taken
    [(_, _, error)] = entries(office)
    assert "home.example" not in error
    mails.recipient = mails.answer = "250 OK"
    try_again(office)
    await desk.drain()
    assert reminders(office, "state, reason, repeats") == [again]
    assert len(set(mails.message_ids)) <= 1


async def test_a_mail_of_which_nobody_knows_twice_whether_it_was_taken_is_not_sent_a_third_time(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1")
    mails.answer = None
    await remind(office, desk)
    for _ in range(3):
        try_again(office)
        await desk.drain()
    assert reminders(office, "state, reason, repeats") == [("failed", "uncertain", 1)]
    assert len(mails.mails) == 2
    assert len(set(mails.message_ids)) == 1
    assert [state for state, *_ in entries(office)] == ["dead"]
    metrics = (await office.api.get("/api/metrics")).body
    assert 'metricis_reminders{state="failed"} 1.0' in metrics
    assert "metricis_reminders_repeated 1.0" in metrics


async def test_sms_and_push_go_to_the_gateway_signed_under_one_id(office: Office, desk: Desk) -> None:
    team = await a_study(
        office,
        ("sms", {"moment": "on_due", "channel": "sms"}),
        ("push", {"moment": "on_due", "channel": "push"}),
    )
    async with receiving() as gateway:
        url = f"{gateway.url}?key=secret"
        told = await office.as_("admin").put(f"{STUDY}/gateway", {"url": url}, If_Match="*")
        assert told.status == 200
        shown = (await team.get(f"{STUDY}/settings")).body
        assert shown["gateway_host"] == url.split("/")[2]
        audited = office.rows("SELECT before, after FROM audit_log")
        assert "key=secret" not in f"{shown}{audited}"
        assert (await team.put(f"{STUDY}/gateway", {"url": gateway.url}, If_Match="*")).status == 403
        await enrol(team, "p1", contact={"phone": "+51 1 234"})
        gateway.status = 503
        await remind(office, desk)
        assert {state for _, _, state, _ in reminders(office)} == {"queued"}
        gateway.status = 200
        try_again(office)
        await desk.drain()
    assert {state for _, _, state, _ in reminders(office)} == {"sent"}
    assert len(gateway.received) == 4
    assert all(each.is_signed_with(told.body["secret"]) for each in gateway.received)
    assert len({each.headers["webhook-id"] for each in gateway.received}) == 2
    sent = {each.json["data"]["channel"]: each.json["data"] for each in gateway.received}
    assert (sent["sms"]["to"], sent["push"]["to"]) == ("+51 1 234", "SRO/p1")
    assert "token=" not in sent["sms"]["text"]
    [(stored,)] = office.rows("SELECT gateway_secret FROM reminder_settings")
    assert told.body["secret"].encode() not in stored


async def test_a_mail_that_may_have_been_taken_is_not_planned_again_when_its_visit_comes_back(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1")
    visit = "/api/visits/SRO/p1/baseline"
    mails.answer = "451 come again"
    await remind(office, desk)
    for mails.answer, came_back in (
        ("451 come again", "planned"),
        (None, "planned"),
        ("250 OK", "cancelled"),
    ):
        gone = {"state": "cancelled", "reason": "ill"}
        assert (await team.patch(visit, gone, If_Match="*")).status == 200
        try_again(office)
        await desk.drain()
        assert reminders(office, "state, reason") == [("cancelled", "visit_cancelled")]
        back = {"state": "restored", "reason": "well again"}
        assert (await team.patch(visit, back, If_Match="*")).status == 200
        assert [state for (state,) in reminders(office, "state")] == [came_back]
        await remind(office, desk)
    # Two were refused; of the third nobody knows.
    assert len(mails.mails) == 3


async def test_after_a_restored_backup_a_reused_number_is_no_link_and_no_message_of_somebody_else(
    office: Office, desk: Desk, mails: MailServer
) -> None:
    team = await a_study(office, ON_DUE)
    await enrol(team, "p1")
    await remind(office, desk)
    link = str(mails.mails[0]["List-Unsubscribe"]).strip("<>").removeprefix("https://sync.clinic.example")
    # The number goes to another participant's.
    await enrol(team, "p2")
    office.rows("DELETE FROM reminders WHERE participant = 'p2'")
    office.rows("UPDATE reminders SET participant = 'p2', state = 'planned', sending_at = NULL")
    path, token = link.split("?token=")
    assert (await office.api.get(path, token=token)).status == 404
    assert (await office.api.call("POST", link, data={})).status == 404
    assert office.rows("SELECT * FROM reminder_opt_outs") == []
    await remind(office, desk)
    assert len(set(mails.message_ids)) == 2

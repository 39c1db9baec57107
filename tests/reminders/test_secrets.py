"""What nobody but the participant is to see is nowhere: planted values, and a search for them."""

from typing import Any

import pytest
import redis

from sync_server.settings import Settings
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office
from tests.administration.receiver import receiving
from tests.reminders.mail_server import MailServer
from tests.reminders.world import STUDY, a_study, enrol, remind, try_again

PLANTED = ("planted.person@home.example", "+51-planted-phone", "Planted Surname", "planted-smtp-password")
ON_DUE: dict[str, Any] = {"moment": "on_due"}


async def test_no_contact_password_token_or_secret_is_in_a_log_a_payload_an_error_or_redis(  # noqa: PLR0917
    office: Office,
    desk: Desk,
    office_settings: Settings,
    mails: MailServer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    email, phone, name, password = PLANTED
    team = await a_study(office, ("mail", ON_DUE), ("sms", {**ON_DUE, "channel": "sms"}))
    async with receiving() as gateway:
        told = await office.as_("admin").put(f"{STUDY}/gateway", {"url": gateway.url}, If_Match="*")
        secret = told.body["secret"]
        contact = {"email": email, "phone": phone, "name": name}
        await enrol(team, "p1", contact=contact)
        # Refused, with the address in the server's words; then the mail; then the login; then taken.
        mails.recipient, gateway.status = "450 no room for", 500
        await remind(office, desk)
        mails.recipient, mails.answer = "250 OK", "451 later"
        try_again(office)
        await desk.drain()
        host = mails.url.removeprefix("smtp://")
        async with at_desk(office, smtp_url=f"smtp://user:{password}@{host}") as refused_login:
            try_again(office)
            await refused_login.drain()
        # Somebody's contact that is sealed with a key that is not there any more.
        [(sealed,)] = office.rows("SELECT contact FROM participants")
        office.rows("UPDATE participants SET contact = 'gAAAAA-not-ours'")
        try_again(office)
        await desk.drain()
        office.rows("UPDATE participants SET contact = %s", sealed)
        mails.answer, gateway.status = "250 OK", 200
        try_again(office)
        await desk.drain()
    assert office.rows("SELECT DISTINCT state FROM reminders") == [("sent",)]
    assert len(mails.mails) == 2
    assert gateway.received[-1].json["data"]["to"] == phone
    token = str(mails.mails[-1]["List-Unsubscribe"]).partition("token=")[2].rstrip(">")
    assert token.partition(".")[2]
    assert (await office.api.get("/api/schedules/reminders/opt-out", token=token)).status == 200
    shown = await team.get("/api/schedules/reminders")
    preview = await team.get(f"{STUDY}/preview", participant="p1")
    assert preview.status == 200
    jobs = await office.as_("admin").get("/api/jobs", per_page="500")
    tables = "SELECT row_to_json(t)::text FROM {} t"
    everywhere = {
        "rows": str(
            [
                office.rows(tables.format(table))
                for table in ("outbox", "outbox_attempts", "reminders", "audit_log", "reminder_settings")
            ]
        ),
        "log": "".join(capfd.readouterr()) + caplog.text,
        "answers": f"{shown.body}{preview.body}{jobs.body}{(await office.api.get('/api/metrics')).body}",
        "redis": _everything_in(office_settings.redis_url),
    }
    assert "reminder handed over" in everywhere["log"]
    assert "The mail server refused" in everywhere["rows"]
    for where, text in everywhere.items():
        for planted in (*PLANTED, secret, secret.removeprefix("whsec_"), token):
            assert planted not in text, f"{planted} is in {where}"


def _everything_in(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        return str([(key, client.dump(key)) for key in client.scan_iter("*")])

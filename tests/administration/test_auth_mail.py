"""What comes by mail: invitations, forgotten passwords, links that log in."""

import asyncio
import smtplib
from collections.abc import Iterator

import msgspec
import pytest

from sync_server.jobs.mail import NoMailServer, UnknownTemplate, send_mail
from sync_server.keys import SETTINGS
from sync_server.settings import Settings
from tests.administration.mail_server import MailServer, mail_server
from tests.administration.office import Office
from tests.administration.people import EMAIL, bearer, join, log_in, refresh, tokens
from tests.administration.test_auth_second_factor import enable
from tests.api.calls import Answer

OTHER = "another horse battery"


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def office_settings(office_settings: Settings, mails: MailServer) -> Settings:
    return msgspec.structs.replace(
        office_settings,
        smtp_url=mails.url,
        mail_from="sync@clinic.example",
        public_url="https://sync.clinic.example",
    )


async def deliver(office: Office) -> int:
    """Deliver what waits in the outbox, as its worker does; how many."""
    waiting = office.rows(
        "SELECT id, key, ticket, payload FROM outbox WHERE state = 'pending' AND kind = 'mail'"
    )
    settings = office.gateway.app[SETTINGS]
    for number, key, ticket, payload in waiting:
        await asyncio.to_thread(
            send_mail,
            settings,
            key=key,
            ticket=ticket,
            payload=payload,
        )
        office.rows("UPDATE outbox SET state = 'done' WHERE id = %s", number)
    return len(waiting)


async def ask(office: Office, what: str, email: str = EMAIL) -> Answer:
    return await office.api.call("POST", f"/api/auth/{what}", json={"email": email})


async def reset(office: Office, token: str, password: str = OTHER) -> Answer:
    body = {"token": token, "password": password}
    return await office.api.call("POST", "/api/auth/reset-password", json=body)


async def test_a_forgotten_password_is_set_by_a_link_that_works_once(
    office: Office, mails: MailServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    person = join(office)
    office.rows("UPDATE users SET language = 'fr', name = 'Ada {link}'")
    before = await tokens(office.api)
    known = await ask(office, "forgot-password", EMAIL.upper())
    unknown = await ask(office, "forgot-password", "nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body) == (202, "")
    assert (await ask(office, "forgot-password", "no address")).error == (422, "invalid_request")
    [(key, payload)] = office.rows("SELECT key, payload FROM outbox")
    assert (key, payload) == (
        f"password_reset:{person}",
        {"template": "password_reset", "person": person},
    )
    # Asked for again within a minute: the same answer, no other mail.
    assert (await ask(office, "forgot-password")).status == 202
    assert office.rows("SELECT ticket FROM outbox") == [(1,)]

    assert await deliver(office) == 1
    [mail] = mails.mails
    assert (str(mail["To"]), str(mail["From"])) == (EMAIL, "sync@clinic.example")
    assert "mot de passe" in mail["Subject"]
    assert "Bonjour Ada {link}," in mail.get_content()
    assert "https://sync.clinic.example/reset-password#token=" in mail.get_content()
    token = mails.token()
    # A link for one thing opens no other.
    redeemed = await office.api.call("POST", "/api/auth/magic-link/redeem", json={"token": token})
    assert redeemed.error == (401, "not_authenticated")
    assert (await reset(office, token, "short")).error == (422, "invalid_request")
    assert (await reset(office, "x" * 43)).error == (401, "not_authenticated")
    answers = await asyncio.gather(reset(office, token), reset(office, token))
    assert sorted(answer.status for answer in answers) == [204, 401]
    assert (await bearer(office.api, before).get("/api/auth/me")).status == 401
    assert (await refresh(office.api, before["refresh_token"])).status == 401
    assert (await log_in(office.api)).status == 401
    assert (await log_in(office.api, OTHER)).status == 200

    everything = str(office.rows("SELECT * FROM outbox, audit_log, mail_links, users, attempts"))
    # Where lines go depends on whether a test before has configured the logging of this process.
    logged = "".join(capfd.readouterr()) + caplog.text
    assert "password.reset" in everything
    assert "mail sent" in logged
    for secret in (token, OTHER, before["refresh_token"], before["access_token"]):
        assert secret not in everything
        assert secret not in logged


async def test_a_link_that_expired_or_whose_account_is_closed_opens_nothing(
    office: Office, mails: MailServer
) -> None:
    join(office)
    await ask(office, "forgot-password")
    await deliver(office)
    lives = office.rows("SELECT extract(epoch FROM expires_at - created_at)::int FROM mail_links")
    assert lives == [(3600,)]
    office.rows("UPDATE mail_links SET expires_at = now()")
    assert (await reset(office, mails.token())).status == 401
    office.rows("UPDATE mail_links SET expires_at = now() + interval '1 hour'")
    office.rows("UPDATE users SET active = false")
    assert (await reset(office, mails.token())).status == 401
    office.rows("UPDATE users SET active = true")
    assert (await reset(office, mails.token())).status == 204


async def test_a_magic_link_logs_in_once_whatever_is_blocked(office: Office, mails: MailServer) -> None:
    join(office)
    for _ in range(5):
        await log_in(office.api, "wrong password")
    assert (await log_in(office.api)).error == (429, "too_many_requests")
    assert (await ask(office, "magic-link")).status == 202
    await deliver(office)
    body = {"token": mails.token()}
    answers = await asyncio.gather(
        *(office.api.call("POST", "/api/auth/magic-link/redeem", json=body) for _ in range(2))
    )
    assert sorted(answer.status for answer in answers) == [200, 401]
    [opened] = [answer.body for answer in answers if answer.status == 200]
    assert (await bearer(office.api, opened).get("/api/auth/me")).body["email"] == EMAIL
    assert office.rows("SELECT method FROM logins") == [("magic_link",)]


async def test_a_stranger_who_guesses_passwords_keeps_no_owner_of_a_second_factor_out(
    office: Office, mails: MailServer
) -> None:
    join(office)
    _, recovery = await enable(office, bearer(office.api, await tokens(office.api)))
    office.rows("UPDATE logins SET address = '198.51.100.1'")
    for _ in range(5):
        await log_in(office.api, "wrong password")
    assert (await log_in(office.api)).error == (429, "too_many_requests")
    await ask(office, "magic-link")
    await deliver(office)

    async def redeem(otp: str) -> Answer:
        body = {"token": mails.token(), "otp": otp}
        return await office.api.call("POST", "/api/auth/magic-link/redeem", json=body)

    # Whoever reads the mails guesses codes no faster than others.
    for _ in range(5):
        assert (await redeem("000000")).error == (401, "second_factor_required")
    assert (await redeem(recovery[0])).error == (429, "too_many_requests")
    office.rows("UPDATE attempts SET blocked_until = NULL WHERE failures = 5 AND kind = 'account'")
    assert (await redeem(recovery[0])).status == 200


async def test_a_mail_sent_twice_is_one_mail_with_two_links_and_the_first_used_spends_both(
    office: Office, mails: MailServer
) -> None:
    join(office)
    await ask(office, "forgot-password")
    mails.refuses = True
    with pytest.raises(smtplib.SMTPException):
        await deliver(office)
    first = mails.token()
    mails.refuses = False
    await deliver(office)
    second = mails.token()
    assert first != second
    assert mails.mails[0]["Message-ID"] == mails.mails[1]["Message-ID"]
    assert (await reset(office, first)).status == 204
    assert (await reset(office, second)).status == 401


async def test_what_cannot_or_need_not_be_sent(office: Office, mails: MailServer) -> None:
    person = join(office)
    settings = office.gateway.app[SETTINGS]

    def send(template: str, settings: Settings = settings) -> None:
        send_mail(
            settings,
            key="k",
            ticket=1,
            payload={"template": template, "person": person},
        )

    with pytest.raises(UnknownTemplate):
        send("advertisement")
    with pytest.raises(NoMailServer):
        send("magic_link", msgspec.structs.replace(settings, smtp_url=None))
    send("invitation")
    office.rows("UPDATE users SET active = false")
    send("magic_link")
    assert mails.mails == []
    office.rows("UPDATE users SET active = true")
    with pytest.raises(OSError, match="refused"):
        send("magic_link", msgspec.structs.replace(settings, smtp_url="smtp://127.0.0.1:1"))


async def test_an_invitation_sets_the_first_password(office: Office, mails: MailServer) -> None:
    office.study("SRO", "lima")
    manager = office.as_("admin", study="SRO")
    invitation = {
        "email": "New@Example.org",
        "name": "New",
        "memberships": [{"study": "SRO", "site": "lima", "role": "coordinator"}],
    }
    answer = await manager.post("/api/users/invite", invitation)
    assert answer.status == 201, answer.body
    assert (answer.body["created"], answer.body["mailed"], answer.body["temporary_password"]) == (
        True,
        True,
        None,
    )
    assert await deliver(office) == 1
    assert (await reset(office, mails.token())).status == 204
    new = await tokens(office.api, email="new@example.org", password=OTHER)
    me = (await bearer(office.api, new).get("/api/auth/me")).body
    assert me["memberships"] == [{"study": "SRO", "site": "lima", "role": "coordinator"}]
    # Invited again: nothing new to set, so no other mail.
    again = await manager.post("/api/users/invite", invitation)
    assert (again.body["created"], again.body["mailed"]) == (False, False)
    assert await deliver(office) == 0


async def test_both_addresses_are_told_of_a_change_and_the_outbox_has_neither(
    office: Office, mails: MailServer
) -> None:
    person = join(office)
    admin = office.as_("admin")
    other = "ada@elsewhere.example"
    changed = await admin.patch(f"/api/users/{person}", {"email": other}, If_Match="*")
    assert changed.status == 200, changed.body
    # The same address again is no change.
    await admin.patch(f"/api/users/{person}", {"email": other}, If_Match="*")
    queued = str(office.rows("SELECT o::text FROM outbox o"))
    assert EMAIL not in queued
    assert other not in queued
    assert await deliver(office) == 2
    told = {str(mail["To"]): (str(mail["Subject"]), mail.get_content()) for mail in mails.mails}
    assert told.keys() == {EMAIL, other}
    assert "was changed" in told[EMAIL][0]
    assert other not in told[EMAIL][1]
    assert all("{" not in text and "#token" not in text for pair in told.values() for text in pair)

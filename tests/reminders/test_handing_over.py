"""Handing a mail over: encrypted or not, and what is known of it afterwards, without the server's words."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest

from sync_server.mail.message import UnusableAddress, compose
from sync_server.mail.smtp import Accepted, Refused, Unknown, hand_over, send
from sync_server.mail.texts import Text
from sync_server.tls.authority import site_authority
from tests.reminders.mail_server import MailServer

SENDER, RECIPIENT = "sync@clinic.example", "ada@home.example"


def mail(recipient: str = RECIPIENT, *, sender_name: str = "") -> EmailMessage:
    return compose(
        Text("Visit", "Come."),
        sender=SENDER,
        recipient=recipient,
        message_id="<1@clinic.example>",
        now=datetime(2026, 5, 10, tzinfo=UTC),
        sender_name=sender_name,
    )


@asynccontextmanager
async def listening(
    handler: MailServer, scheme: str, context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    starttls = context if scheme == "smtp+starttls" else None
    server = await asyncio.get_running_loop().create_server(
        lambda: handler.connected(tls_context=starttls, require_starttls=starttls is not None),
        "127.0.0.1",
        0,
        ssl=context if scheme == "smtps" else None,
    )
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await handler.hang_up()


async def handed(url: str, message: EmailMessage | None = None) -> Accepted | Refused | Unknown:
    return await asyncio.to_thread(hand_over, message or mail(), url, sender=SENDER, recipient=RECIPIENT)


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_mail_goes_encrypted_to_a_server_whose_certificate_is_trusted_and_to_no_other(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = site_authority(tmp_path, ("127.0.0.1",))
    handler = MailServer()
    async with listening(handler, scheme, authority.context) as url:
        assert await handed(url) == Refused("The mail server was not reached (SSLCertVerificationError).")
        (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert await handed(url) == Accepted()
        await asyncio.to_thread(send, mail(), url, sender=SENDER, recipient=RECIPIENT)
    assert len(handler.mails) == 2


async def test_what_is_known_of_a_mail_is_said_without_what_the_server_said() -> None:
    handler = MailServer()
    async with listening(handler, "smtp") as url:
        handler.recipient = "550 nobody"
        assert await handed(url) == Refused("The mail server refused the recipient (550).", final=True)
        handler.recipient, handler.answer = "250 OK", "421 busy"
        assert await handed(url) == Refused("The mail server refused (SMTPDataError, 421).")
        handler.answer = None
        assert await handed(url) == Unknown(
            "The mail server did not say whether it took the mail (SMTPServerDisconnected)."
        )
        handler.answer = "250 OK"
        # No login and no STARTTLS there: who runs this system has to look, and nothing is lost.
        needs = "The mail server cannot do what this mail or SMTP_URL needs."
        assert await handed(url.replace("//", "//user:secret@")) == Refused(needs)
        assert await handed(url.replace("smtp:", "smtp+starttls:")) == Refused(needs)
        with pytest.raises(smtplib.SMTPNotSupportedError):
            await asyncio.to_thread(
                send,
                mail(),
                url.replace("smtp:", "smtp+starttls:"),
                sender=SENDER,
                recipient=RECIPIENT,
            )
        assert await handed(url, mail(sender_name="Étude, SRO <x>")) == Accepted()
    assert str(handler.mails[-1]["From"]) == '"Étude, SRO <x>" <sync@clinic.example>'
    assert await handed(url) == Refused("The mail server was not reached (ConnectionRefusedError).")


@pytest.mark.parametrize("address", ["ada@home.example", "a.d+a_1=x@home.example", "zoë@bücher.example"])
def test_a_mail_is_handed_over_for_the_address_in_its_header(address: str) -> None:
    composed = mail(address, sender_name="SRO\u2028\x85 Étude")
    [to] = composed["To"].addresses
    assert smtplib.quoteaddr(address) == f"<{to.addr_spec}>" == f"<{address}>"
    assert str(composed["From"]) == f"SRO Étude <{SENDER}>"


def test_what_looks_like_an_encoded_line_end_in_a_name_ends_no_header() -> None:
    said = "=?utf-8?q?=0aBcc=3A_eve=40else.example?="
    composed = compose(
        Text(said, "Come."),
        sender=SENDER,
        recipient=RECIPIENT,
        message_id="<1@clinic.example>",
        now=datetime(2026, 5, 10, tzinfo=UTC),
        sender_name=said,
    )
    head = composed.as_bytes().partition(b"\n\n")[0]
    told = [line.partition(b":")[0] for line in head.split(b"\n") if b"else.example" in line]
    assert told == [b"Subject", b"From"]
    assert {"Subject", "From", "To", "Message-ID"} <= set(message_from_bytes(composed.as_bytes()).keys())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@home.example",
        "ada@",
        "a b@home.example",
        "a@b\r\nBcc: c@d.example",
        "ada@home.example ",
        "ada@home.example,eve@else.example",
        # The envelope would name another than the header.
        "x<eve@else.example>@home.example",
        "ada@home.example;eve",
        '"ada"@home.example',
        "ada(c)@home.example",
        "=?utf-8?q?=0a?=@home.example",
        "ada@[\t",
        "ada@" + "x" * 80 + "(<a",
        "ada@home\u2028.example",
        "\u202eada@home.example",
    ],
)
def test_what_is_no_address_is_told_without_it(address: str) -> None:
    with pytest.raises(UnusableAddress) as told:
        mail(address)
    assert str(told.value) == "No mail can be sent to this address."

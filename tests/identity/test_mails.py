"""What mails say, and how they are put together."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from sync_server.identity.mail_links import Purpose, link
from sync_server.identity.secret_tokens import digest, new_code, new_token, typed_code
from sync_server.mail.message import UnusableAddress, compose, stable_message_id
from sync_server.mail.texts import Language, text

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("purpose", get_args(Purpose))
def test_every_mail_is_complete_in_every_language(language: str, purpose: Purpose) -> None:
    said = text(language, purpose, name="Ada", link=link("https://x.example", purpose, "abc"))
    assert "Ada" in said.body
    assert "https://x.example" in said.body
    assert "#token=abc" in said.body
    assert "{" not in said.subject + said.body


def test_a_name_fills_in_nothing_and_breaks_no_line() -> None:
    said = text("en", "magic_link", name="{link}\r\nBcc: x@y", link="LINK")
    assert said.body.startswith("Hello {link} Bcc: x@y,\n")
    assert text("xx", "magic_link", name=" ", link="LINK").body.startswith("Hello,\n")


def test_the_same_entry_and_ticket_are_the_same_mail() -> None:
    one = stable_message_id("magic_link:7", 1, sender="sync@clinic.example")
    assert one == stable_message_id("magic_link:7", 1, sender="sync@clinic.example")
    assert one != stable_message_id("magic_link:7", 2, sender="sync@clinic.example")
    assert one.endswith("@clinic.example>")


@pytest.mark.parametrize("recipient", ["a,b@x.example", "a b@x.example", '"@x.example', "<a>@x.example"])
def test_an_odd_address_is_one_address_or_refused(recipient: str) -> None:
    said = text("en", "magic_link", name="", link="LINK")
    try:
        mail = compose(said, sender="s@x.example", recipient=recipient, message_id="<1@x>", now=NOW)
    except UnusableAddress:
        return
    assert len(mail["To"].addresses) == 1
    assert mail["To"].addresses[0].domain == "x.example"


@pytest.mark.parametrize("recipient", ["a@x.example\nBcc: b@x.example", "a\r\n@x.example"])
def test_an_address_that_would_add_a_header_is_refused(recipient: str) -> None:
    said = text("en", "magic_link", name="", link="LINK")
    with pytest.raises(UnusableAddress):
        compose(said, sender="s@x.example", recipient=recipient, message_id="<1@x>", now=NOW)


def test_a_code_is_the_same_however_it_is_typed() -> None:
    code = new_code()
    assert len(code) == 19
    assert typed_code(code) == code
    assert typed_code(f"  {code.upper().replace('-', ' ')} ") == code
    assert len({new_code() for _ in range(100)} | {new_token() for _ in range(100)}) == 200
    assert digest(code) != digest(new_code())

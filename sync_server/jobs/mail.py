"""Delivering an outbox entry of kind `mail`.

The entry says which mail to whom, by id: `{"template": "password_reset", "person": 7}`. Address, name and
language are read when it is sent, and the link's token is made then. Notices of a change of address
name the change too: `{"template": "address_left", "person": 7, "change": 3}`.

| what happens | outcome |
|---|---|
| the account is closed, or gone | nothing is sent; the entry is done |
| an invitation, and the password is set meanwhile | nothing is sent |
| the mail server is away, or refuses | raises; tried again, with another token, under the same Message-ID |
| the process dies after the server has taken the mail | sent again, same Message-ID; both links open |
| no `SMTP_URL` | raises NoMailServer |
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import structlog
from sqlalchemy import Connection, select

from reporting.engine import sync_engine
from reporting.outbox.claims import Started
from reporting.outbox.entry import Entry
from reporting.tables import users
from sync_server.identity.address_changes import select_address_change
from sync_server.identity.mail_links import Purpose, forget_expired, insert_link, link
from sync_server.identity.secret_tokens import new_token
from sync_server.jobs.resources import Resources
from sync_server.mail.message import compose, stable_message_id
from sync_server.mail.smtp import send
from sync_server.mail.texts import Notice, Text, text
from sync_server.settings import Settings

KIND = "mail"

_log = structlog.get_logger()


class NoMailServer(Exception):
    """SMTP_URL is not set: no mails are sent."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class UnknownTemplate(ValueError):
    """There is no such mail."""

    def __init__(self, template: object) -> None:
        super().__init__(f"{template!r}: {self.__doc__}")


def mail_entry(purpose: Purpose, person: int) -> Entry:
    """The outbox entry: enter it *again*, so that what waits already is sent once."""
    return Entry(kind=KIND, key=f"{purpose}:{person}", payload={"template": purpose, "person": person})


def address_change_entries(person: int, change: int) -> list[Entry]:
    """The outbox entries that tell the address which was left and the one which was taken."""
    return [
        Entry(
            kind=KIND,
            key=f"{notice}:{change}",
            payload={"template": notice, "person": person, "change": change},
        )
        for notice in get_args(Notice)
    ]


def deliver_mail(entry: Started, resources: Resources) -> None:
    """The handler of `mail`. Blocks; raises as `send_mail` does."""
    send_mail(resources.settings, key=entry.key, ticket=entry.ticket, payload=entry.payload)


def send_mail(settings: Settings, *, key: str, ticket: int, payload: Mapping[str, Any]) -> None:
    """Send the mail. Blocks until the mail server has taken it.

    Raises NoMailServer, UnknownTemplate, `message.UnusableAddress`, OSError, smtplib.SMTPException, and
    SQLAlchemy's errors.
    """
    template = payload["template"]
    if settings.smtp_url is None or settings.mail_from is None:
        raise NoMailServer
    engine = sync_engine(settings.database_url, application_name="metricis-mail")
    try:
        with engine.begin() as connection:
            written = _written(connection, template, payload, settings.base_url)
    finally:
        engine.dispose()
    if written is None:
        return
    recipient, said = written
    message = compose(
        said,
        sender=settings.mail_from,
        recipient=recipient,
        message_id=stable_message_id(key, ticket, sender=settings.mail_from),
        now=datetime.now(UTC),
    )
    # After the commit: a link that nobody was sent opens nothing, one that is not stored disappoints.
    send(message, settings.smtp_url, sender=settings.mail_from, recipient=recipient)
    _log.info("mail sent", template=template, person=payload["person"])


def _written(
    connection: Connection, template: Any, payload: Mapping[str, Any], base_url: str
) -> tuple[str, Text] | None:
    """Recipient and text; None where nothing is to be sent. Raises UnknownTemplate."""
    person = int(payload["person"])
    u = users.c
    account = connection.execute(
        select(u.email, u.name, u.language, u.password_hash).where(u.id == person, u.active)
    ).one_or_none()
    if template in get_args(Notice):
        change = connection.execute(select_address_change(int(payload["change"]))).one_or_none()
        if account is None or change is None:
            return None
        recipient = change.email_before if template == "address_left" else change.email_after
        return recipient, text(account.language, template, name=account.name)
    if template not in get_args(Purpose):
        raise UnknownTemplate(template)
    if account is None or (template == "invitation" and account.password_hash is not None):
        return None
    token = new_token()
    connection.execute(forget_expired(person))
    connection.execute(insert_link(token, person, template))
    opened = link(base_url, template, token)
    return account.email, text(account.language, template, name=account.name, link=opened)

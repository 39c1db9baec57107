"""Delivering an outbox entry of kind `mail`.

The entry says which mail to whom, by id: `{"template": "password_reset", "person": 7}`. Address, name and
language are read when it is sent, and the link's token is made then.

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
from sqlalchemy import select

from reporting.engine import sync_engine
from reporting.outbox.claims import Started
from reporting.outbox.entry import Entry
from reporting.tables import users
from sync_server.identity.mail_links import Purpose, forget_expired, insert_link, link
from sync_server.identity.secret_tokens import new_token
from sync_server.jobs.resources import Resources
from sync_server.mail.message import compose, stable_message_id
from sync_server.mail.smtp import send
from sync_server.mail.texts import text
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


def deliver_mail(entry: Started, resources: Resources) -> None:
    """The handler of `mail`. Blocks; raises as `send_mail` does."""
    settings = resources.settings
    send_mail(
        database_url=settings.database_url,
        settings=settings,
        key=entry.key,
        ticket=entry.ticket,
        payload=entry.payload,
    )


def send_mail(
    *, database_url: str, settings: Settings, key: str, ticket: int, payload: Mapping[str, Any]
) -> None:
    """Send the mail. Blocks until the mail server has taken it.

    Raises NoMailServer, UnknownTemplate, `message.UnusableAddress`, OSError, smtplib.SMTPException, and
    SQLAlchemy's errors.
    """
    purpose = payload["template"]
    if purpose not in get_args(Purpose):
        raise UnknownTemplate(purpose)
    if settings.smtp_url is None or settings.mail_from is None:
        raise NoMailServer
    person = int(payload["person"])
    token = new_token()
    engine = sync_engine(database_url, application_name="metricis-mail")
    try:
        with engine.begin() as connection:
            u = users.c
            account = connection.execute(
                select(u.email, u.name, u.language, u.password_hash).where(u.id == person, u.active)
            ).one_or_none()
            if account is None or (purpose == "invitation" and account.password_hash is not None):
                return
            connection.execute(forget_expired(person))
            connection.execute(insert_link(token, person, purpose))
    finally:
        engine.dispose()
    # Committed first: a link that nobody was sent opens nothing, one that is not stored disappoints.
    said = text(account.language, purpose, name=account.name, link=link(settings.base_url, purpose, token))
    message = compose(
        said,
        sender=settings.mail_from,
        recipient=account.email,
        message_id=stable_message_id(key, ticket, sender=settings.mail_from),
        now=datetime.now(UTC),
    )
    send(message, settings.smtp_url, sender=settings.mail_from, recipient=account.email)
    _log.info("mail sent", template=purpose, person=person)

"""Links in mails: what they open, for how long, and that they open once.

The token of a link is made when its mail is sent, so that nothing before (a request, the outbox, a log) holds
it; stored is its SHA-256. A mail that is sent twice, because it was not known whether it had gone, has two
tokens that both open: the reader may have either. Using one spends the others of its purpose, and a new
password spends all.

| purpose | opens | for |
|---|---|---|
| `invitation` | setting the first password | 7 days |
| `password_reset` | setting another password | 1 hour |
| `magic_link` | a login without a password | 15 minutes |
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

from sqlalchemy import ColumnElement, Delete, Insert, Select, Update, delete, func, insert, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from reporting.tables import mail_links, users
from sync_server.identity.secret_tokens import digest

Purpose = Literal["invitation", "password_reset", "magic_link"]

LIFETIMES: dict[Purpose, timedelta] = {
    "invitation": timedelta(days=7),
    "password_reset": timedelta(hours=1),
    "magic_link": timedelta(minutes=15),
}

PATHS: dict[Purpose, str] = {
    "invitation": "/reset-password",
    "password_reset": "/reset-password",
    "magic_link": "/magic-link",
}


def link(base_url: str, purpose: Purpose, token: str) -> str:
    """The link. The token comes after `#`: browsers send that to no server, so no log has it."""
    return f"{base_url}{PATHS[purpose]}#token={token}"


def insert_link(token: str, person: int, purpose: Purpose) -> Insert:
    """Statement: a link that may be used from now on."""
    return insert(mail_links).values(
        sha256=digest(token), person=person, purpose=purpose, expires_at=func.now() + LIFETIMES[purpose]
    )


def forget_expired(person: int) -> Delete:
    """Statement: links to a person that open nothing any more."""
    return delete(mail_links).where(mail_links.c.person == person, mail_links.c.expires_at <= func.now())


def prune_links(limit: int) -> Delete:
    """Statement: links to anybody that open nothing any more."""
    c = mail_links.c
    old = select(c.sha256).where(c.expires_at <= func.now()).limit(limit).with_for_update(skip_locked=True)
    return delete(mail_links).where(c.sha256.in_(old))


def select_link(token: str, purposes: Iterable[Purpose]) -> Select[int, str]:
    """Statement: (person, email) of a link that may be used."""
    return (
        select(mail_links.c.person, users.c.email)
        .join(users, users.c.id == mail_links.c.person)
        .where(*_usable(token, purposes))
    )


def lock_link(token: str, purposes: Iterable[Purpose]) -> Select[int, str]:
    """Statement: the same, and nobody else uses it until the caller's transaction ends."""
    return select_link(token, purposes).with_for_update(of=mail_links)


def use_link(token: str, purposes: Iterable[Purpose]) -> ReturningUpdate[int]:
    """Statement: use a link → its person, whose account is open; no row where it may not be used."""
    return (
        update(mail_links)
        .where(*_usable(token, purposes), users.c.id == mail_links.c.person)
        .values(used_at=func.now())
        .returning(mail_links.c.person)
    )


def spend_links(person: int, purposes: Iterable[Purpose] = tuple(LIFETIMES)) -> Update:
    """Statement: links of these purposes open nothing any more."""
    return (
        update(mail_links)
        .where(
            mail_links.c.person == person,
            mail_links.c.purpose.in_(list(purposes)),
            mail_links.c.used_at.is_(None),
        )
        .values(used_at=func.now())
    )


def _usable(token: str, purposes: Iterable[Purpose]) -> tuple[ColumnElement[bool], ...]:
    return (
        mail_links.c.sha256 == digest(token),
        mail_links.c.purpose.in_(list(purposes)),
        mail_links.c.used_at.is_(None),
        mail_links.c.expires_at > func.now(),
        users.c.active.is_(True),
    )

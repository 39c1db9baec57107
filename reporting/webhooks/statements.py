"""Webhooks as people manage them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Delete, Executable, Select, Update, delete, func, insert, select, update

from reporting.scope import Scope, within
from reporting.tables import webhooks


class WebhookRow(msgspec.Struct, frozen=True):
    """A webhook; its secret is shown when it is made and never again."""

    id: int
    url: str
    description: str
    events: list[str]
    study: str | None
    paused_at: datetime | None
    paused_reason: str | None
    row_version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


COLUMNS: Final = tuple(webhooks.c[name] for name in WebhookRow.__struct_fields__)


def select_webhooks(scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of WebhookRow; those of a study only for whose scope is not limited to one of its
    sites, since they tell of all of them; those of all studies only for who sees everything.
    """
    whole = Scope(tuple(part for part in scope.parts if part.site is None))
    return select(*COLUMNS).where(within(whole, study=webhooks.c.study))


def insert_webhook(
    *, url: str, description: str, events: Sequence[str], study: str | None, secret: bytes, created_by: str
) -> Executable:
    """Statement: a new webhook; `secret` is sealed. Answers the fields of WebhookRow."""
    return (
        insert(webhooks)
        .values(
            url=url,
            description=description,
            events=list(events),
            study=study,
            secret=secret,
            created_by=created_by,
        )
        .returning(*COLUMNS)
    )


def update_webhook(number: int, changes: Mapping[str, Any]) -> Executable:
    """Statement: change columns; the row has to be locked. Answers the fields of WebhookRow."""
    return _update(number).values(**changes).returning(*COLUMNS)


def _update(number: int) -> Update:
    return (
        update(webhooks)
        .where(webhooks.c.id == number)
        .values(row_version=webhooks.c.row_version + 1, updated_at=func.now())
    )


def delete_webhook(number: int) -> Delete:
    """Statement: what waits to be delivered to it is discarded when its turn comes."""
    return delete(webhooks).where(webhooks.c.id == number)

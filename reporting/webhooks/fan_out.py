"""One event → a delivery for each webhook that asked for it.

A webhook with a study gets that study's events only; one without gets all, and those that belong to no study.
A delivery's key has the webhook and the event in it: an event that is fanned out again adds nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Select, select

from reporting.outbox.claims import Started
from reporting.outbox.entry import Entry
from reporting.tables import webhooks

KIND: Final = "webhook"


class Listener(msgspec.Struct, frozen=True):
    """A webhook that is not paused."""

    id: int
    events: Sequence[str]
    study: str | None


def select_listeners() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of Listener."""
    w = webhooks.c
    return select(w.id, w.events, w.study).where(w.paused_at.is_(None))


def deliveries(event: Started, listeners: Iterable[Listener]) -> list[Entry]:
    """The deliveries of an event. Pure."""
    name = event.payload.get("name")
    return [
        delivery(
            listener.id,
            str(event.id),
            name=str(name),
            at=event.created_at,
            data=event.payload.get("data"),
            study=event.study,
            site=event.site,
        )
        for listener in listeners
        if name in listener.events and listener.study in (None, event.study)
    ]


def delivery(
    webhook: int,
    occurrence: str,
    *,
    name: str,
    at: datetime,
    data: Any,
    study: str | None = None,
    site: str | None = None,
) -> Entry:
    """What has to be sent to one webhook."""
    payload = {"webhook": webhook, "event": name, "timestamp": at.isoformat(), "data": data}
    return Entry(kind=KIND, key=f"{webhook}/{occurrence}", study=study, site=site, payload=payload)

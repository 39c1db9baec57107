"""What happened and may be told to other systems, written in its own transaction.

An event is one row of the outbox (`event`), whether or not anybody listens; the relay turns it into one
delivery for each webhook that asked for it. Data are codes and ids, never a contact, a name or a trial.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy.dialects.postgresql import Insert

from reporting.outbox.entry import Entry, enter_once

KIND = "event"

EventName = Literal[
    "session.completed",
    "session.quarantined",
    "participant.enrolled",
    "participant.withdrawn",
    "participant.erased",
    "consent.signed",
    "consent.withdrawn",
    "visit.completed",
    "visit.missed",
    "device.enrolled",
    "device.revoked",
    "site.created",
    "site.archived",
    "replication.stuck",
    "replication.recovered",
    "redcap.banned",
    "redcap.parked",
    "redcap.paused",
]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`occurrence` tells it from others of its name: `lima/<session id>`. Told twice, it is one event."""

    name: EventName
    occurrence: str
    study: str | None = None
    site: str | None = None
    data: Mapping[str, Any] = {}


def announce(*events: Event) -> Insert:
    """Statement: put the events into the outbox; at least one."""
    return enter_once(
        Entry(
            kind=KIND,
            key=f"{event.name}:{event.occurrence}",
            study=event.study,
            site=event.site,
            payload={"name": event.name, "data": event.data},
        )
        for event in events
    )

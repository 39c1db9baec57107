"""What time alone does to reminders: the relay's duty. Due ones go to the outbox, useless ones are cancelled.

After an outage (of this server, the mail server, the relay) reminders are sent late or not at all:

| what has piled up | what becomes of it |
|---|---|
| it is useful no more | `too_late`, never sent |
| several of one visit and channel | the newest is sent, the others are `superseded` |
| many for one participant | so many a day, the rest `daily_limit` (when they are sent) |
| thousands | so many a turn, oldest first |
| its study is not active | it waits, until it is too late |
| it was being sent, and nobody has said since what came of it | `failed`, `uncertain` |

| what happens | outcome |
|---|---|
| two relays | a duty is one's at a time; rows that somebody is at are passed over |
| the relay dies before its commit | nothing happened |
| the entry is there already (planned anew) | it is made pending again: the row says what is sent, and once |
| a person discards the entry | the reminder is `too_late` in the end |
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    and_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import aliased

from reporting.outbox.entry import Entry, enter_again
from reporting.tables import participants, reminders, studies

KIND: Final = "reminder"

QUEUED_AT_ONCE: Final = 500
_ENDED_AT_ONCE: Final = 5000
_SILENCE: Final = timedelta(hours=1)
"""After which nobody is thought to be sending a reminder that is useful no more."""

_r = reminders.c


def entry_of(number: int, study: str, site: str | None) -> Entry:
    """What has a reminder sent. Ids only."""
    return Entry(kind=KIND, key=str(number), payload={"reminder": number}, study=study, site=site)


def queue_due(connection: Connection, now: datetime) -> int:
    """Cancel what is useful no more, and have what is due sent; how many are to be sent."""
    connection.execute(_end_useless(now))
    connection.execute(_end_silent(now))
    connection.execute(_end_superseded(now))
    entries = [entry_of(*row) for row in connection.execute(_queue(now))]
    if entries:
        connection.execute(enter_again(entries))
    return len(entries)


def _end_useless(now: datetime) -> Update:
    return _ended(now, "cancelled", "too_late", _is_open(), _r.useful_until <= now)


def _end_silent(now: datetime) -> Update:
    before = now - _SILENCE
    is_silent = and_(_r.state == "sending", _r.useful_until <= before, _r.sending_at <= before)
    return _ended(now, "failed", "uncertain", is_silent)


def _end_superseded(now: datetime) -> Update:
    newer = aliased(reminders).c
    is_newer = (
        select(newer.id)
        .where(
            newer.study == _r.study,
            newer.participant == _r.participant,
            newer.visit == _r.visit,
            newer.channel == _r.channel,
            newer.state.in_(("planned", "queued", "sending", "sent")),
            newer.planned_at <= now,
            tuple_(newer.planned_at, newer.id) > tuple_(_r.planned_at, _r.id),
        )
        .exists()
    )
    return _ended(now, "cancelled", "superseded", _is_open(), _r.planned_at <= now, is_newer)


def _is_open() -> ColumnElement[bool]:
    return _r.state.in_(("planned", "queued"))


def _queue(now: datetime) -> Any:
    due = (
        select(_r.id, participants.c.site)
        .join(studies, and_(studies.c.code == _r.study, studies.c.status == "active"))
        .join(participants, and_(participants.c.study == _r.study, participants.c.code == _r.participant))
        .where(_r.state == "planned", _r.planned_at <= now, _r.useful_until > now)
        .order_by(_r.planned_at, _r.id)
        .limit(QUEUED_AT_ONCE)
        .with_for_update(skip_locked=True, of=reminders)
        .cte("due")
    )
    return (
        update(reminders)
        .where(_r.id == due.c.id)
        .values(state="queued", updated_at=now)
        .returning(_r.id, _r.study, due.c.site)
    )


def _ended(now: datetime, state: str, reason: str, *conditions: ColumnElement[bool]) -> Update:
    """Statement: end those that nobody else is at."""
    found = (
        select(_r.id)
        .where(*conditions)
        .limit(_ENDED_AT_ONCE)
        .with_for_update(skip_locked=True, of=reminders)
        .cte("found")
    )
    return update(reminders).where(_r.id == found.c.id).values(state=state, reason=reason, updated_at=now)

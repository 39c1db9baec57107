"""Telling of what a batch has brought: sessions that are complete, documents that were quarantined.

Once for each session, and for each quarantined revision, however often it is projected: the event's key says
so. Codes, ids and times only.
"""

from collections.abc import Iterable
from datetime import datetime

import psycopg

from reporting.compiled import execute_in
from reporting.projection.judge import Judgement
from reporting.webhooks.events import Event, announce


def events_of(site: str, judgements: Iterable[Judgement]) -> list[Event]:
    """The events of documents that were written. Pure."""
    found: list[Event] = []
    for judgement in judgements:
        if judgement.rows is not None and judgement.rows.session.status == "completed":
            session = judgement.rows.session
            found.append(
                Event(
                    name="session.completed",
                    occurrence=f"{site}/{session.id}",
                    study=session.study,
                    site=site,
                    data={
                        "session": session.id,
                        "site": site,
                        "study": session.study,
                        "participant": session.participant,
                        "visit": session.visit,
                        "started_at": _moment(session.started_at),
                        "ended_at": _moment(session.ended_at),
                    },
                )
            )
        if judgement.document.key.startswith("session:"):
            found.extend(
                Event(
                    name="session.quarantined",
                    occurrence=f"{site}/{judgement.document.key}/{leaf.rev}",
                    site=site,
                    data={
                        "document": judgement.document.key,
                        "site": site,
                        "rev": leaf.rev,
                        "code": leaf.reason.code,
                    },
                )
                for leaf in judgement.quarantined
            )
    return found


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def announce_batch(connection: psycopg.Connection, site: str, judgements: Iterable[Judgement]) -> None:
    """Put the events into the outbox, in the batch's transaction."""
    events = events_of(site, judgements)
    if events:
        execute_in(connection, announce(*events))

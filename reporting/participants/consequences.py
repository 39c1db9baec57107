"""What follows from a change of participants, in the transaction of the change.

The one place that is told of every change of a participant's site, status, language or anchor, however it was
made: what depends on participants is asked for here.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.publication.requests import participant_document, publish_documents, visit_document
from reporting.redcap.requests import push_participants
from reporting.reminders.planning import replanned
from reporting.steps import perform
from reporting.tables import participants, visits
from reporting.visits.generation import bring_visits_up_to_date

_AT_ONCE = 500


async def participants_changed(
    connection: AsyncConnection, study: str, codes: Sequence[str], *, left: Iterable[tuple[str, str]] = ()
) -> None:
    """Bring their visits and reminders up to date; publish them and their visits, at their sites and at those
    they `left`, (code, site); push their sessions again.
    """
    await bring_visits_up_to_date(connection, study=study, participants=codes)
    # Also where no visit has changed: whether, in which timezone and language they are reminded has.
    await connection.run_sync(perform, replanned(study, codes, datetime.now(UTC)))
    at = list(left)
    known: dict[str, list[str]] = {}
    p, v = participants.c, visits.c
    for start in range(0, len(codes), _AT_ONCE):
        part = codes[start : start + _AT_ONCE]
        where = select(p.code, p.site).where(p.study == study, p.code.in_(part), p.site.is_not(None))
        at += [(code, site) for code, site in await connection.execute(where)]
        for code, visit in await connection.execute(
            select(v.participant, v.code).where(v.study == study, v.participant.in_(part))
        ):
            known.setdefault(code, []).append(visit)
    documents = {(site, participant_document(study, code)) for code, site in at}
    documents |= {
        (site, visit_document(study, code, visit)) for code, site in at for visit in known.get(code, ())
    }
    # In the order in which `enter_again` locks, across statements too: others ask for the same.
    ordered = sorted(documents, key="/".join)
    for start in range(0, len(ordered), _AT_ONCE):
        await connection.execute(publish_documents(ordered[start : start + _AT_ONCE]))
    of_roster = sorted(codes)
    for start in range(0, len(of_roster), _AT_ONCE):
        await connection.execute(push_participants(study, of_roster[start : start + _AT_ONCE]))

"""What other systems are told of signed consents, in the transaction of their batch.

| what happens | outcome |
|---|---|
| a consent is valid for the first time, as it came or after it was quarantined | told |
| it is saved again, replayed, found again, read again from the start | not told again |
| the batch is rolled back and repeated | told once |
"""

from collections.abc import Iterable, Mapping

import psycopg

from reporting.compiled import execute_in
from reporting.projection.batch import Recorded, State
from reporting.projection.consent_rows import ConsentRow
from reporting.projection.judge import Judgement
from reporting.webhooks.events import Event, announce


def announce_signed(
    connection: psycopg.Connection, judgements: Iterable[Judgement], recorded: Mapping[str, Recorded]
) -> None:
    """Tell of the consents among these that were none before; `recorded`: by key, what was known before."""
    events = []
    for judgement in judgements:
        before = recorded.get(judgement.document.key)
        is_new = before is None or before.state is State.QUARANTINED
        row = judgement.row[1] if judgement.row is not None else None
        if is_new and isinstance(row, ConsentRow):
            events.append(_event(row))
    if events:
        execute_in(connection, announce(*events))


def _event(row: ConsentRow) -> Event:
    return Event(
        name="consent.signed",
        occurrence=f"{row.site}/{row.id}",
        study=row.study,
        site=row.site,
        data={
            "site": row.site,
            "consent": row.id,
            "study": row.study,
            "participant": row.participant,
            "form": row.form,
            "version": row.form_version,
            "signed_at": row.signed_at.isoformat(),
        },
    )

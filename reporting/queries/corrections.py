"""What a new correction of a session has to be based on: the corrections there are, if rows know them.

A correction that is in the site database and not projected yet, or a session that waits to be projected
again, means that whoever decides has not seen what the rows will say.
"""

from collections.abc import Mapping

from sqlalchemy import Text, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.documents.corrections import correction_number
from reporting.documents.kinds import Correction
from reporting.projection.batch import State
from reporting.projection.correction_rows import stored_correction
from reporting.tables import corrections, documents, replays


async def read_corrections(connection: AsyncConnection, site: str, session: str) -> list[Correction]:
    """The session's corrections that apply, by number."""
    c = corrections.c
    found = await connection.execute(
        select(c.doc_id, c.session_id, c.number, c.kind, c.reason, c.author, c.made_at, cast(c.body, Text))
        .where(c.site == site, c.session_id == session, c.source_missing_at.is_(None))
        .order_by(c.number)
    )
    return [stored_correction(row) for row in found]


async def next_number(
    connection: AsyncConnection, site: str, session: str, stored: Mapping[str, str]
) -> int | None:
    """The number of the session's next correction; None where rows do not say yet what the corrections do.

    `stored` are the ids and revisions of the session's corrections in the site database.
    """
    c, d = corrections.c, documents.c
    recorded = await connection.execute(
        select(d.doc_id, d.winner_rev).where(
            d.site == site, d.doc_id.in_(list(stored)), d.state != State.DELETED
        )
    )
    if {row.doc_id: row.winner_rev for row in recorded} != dict(stored):
        return None
    known = (
        await connection.execute(
            select(c.doc_id, c.number, c.source_missing_at.is_(None)).where(
                c.site == site, c.session_id == session
            )
        )
    ).all()
    if any(applies and doc_id not in stored for doc_id, _, applies in known):
        return None
    waiting = await connection.scalar(
        select(replays.c.ticket).where(replays.c.site == site, replays.c.doc_id == f"session:{session}")
    )
    if waiting is not None:
        return None
    numbers = [correction_number(doc_id, session) or 0 for doc_id in stored]
    return 1 + max([*numbers, *(number for _, number, _ in known)], default=0)

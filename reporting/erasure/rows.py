"""Deleting the subject's rows, in one transaction, so that no projector writes them back.

A projector may have read a document before it was purged and commit its batch afterwards. Every batch begins
by comparing its checkpoint with the stored one, so the checkpoint is changed here in a way that costs little:
it counts as being reread. The batch in flight is dropped, and the next turn reads on from where it was.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, delete, func, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.erasure.registry import (
    erased_tables,
    foreign_flags,
    names_subject,
    shared,
    touched,
    touched_sessions,
)
from reporting.erasure.subject import SESSION, Subject
from reporting.research.files import ask_for_sweep, forget_requests, remove_of_study
from reporting.tables import checkpoints, participants, quality_flags, replays, rescorings
from reporting.visits.statements import lock_participants

FILE_REMOVED = "A participant of the study was erased: ask for it again."


async def count_rows(connection: AsyncConnection, subject: Subject) -> dict[str, int]:
    """How many rows each table has of the subject; tables with none are left out."""
    counts: dict[str, int] = {}
    for table, condition in erased_tables():
        statement = select(func.count()).select_from(table).where(condition(table, subject))
        if number := (await connection.execute(statement)).scalar_one():
            counts[table.name] = number
    return counts


async def delete_rows(connection: AsyncConnection, subject: Subject) -> dict[str, int]:
    """Delete them; how many of each table."""
    await _fence(connection, subject)
    await _hold(connection, subject)
    counts: dict[str, int] = {}
    await _flag_others_again(connection, subject)
    if forgotten := await _forget_examples(connection, subject):
        counts["rescorings"] = forgotten
    if removed := await _remove_files(connection, subject):
        counts["research_files"] = removed
    for table, condition in erased_tables():
        deleted = (await connection.execute(delete(table).where(condition(table, subject)))).rowcount
        if deleted:
            counts[table.name] = deleted
    # After those of the erased documents are deleted, which are replays too.
    await _replay(connection, {(site, doc_id) for site, doc_id in await connection.execute(shared(subject))})
    return counts


async def _fence(connection: AsyncConnection, subject: Subject) -> None:
    # In the order of their names: projectors lock one at a time, another erasure locks in the same order.
    c = checkpoints.c
    sites = select(touched(subject).subquery().c.site)
    locked = select(c.site).where(c.site.in_(sites)).order_by(c.site).with_for_update()
    names = list((await connection.execute(locked)).scalars())
    if not names:
        return
    # One that is being reread already gets another epoch, which its next turn begins anew.
    fenced = {"epoch": case((c.rereading, uuid.uuid4().hex), else_=c.epoch), "rereading": true()}
    await connection.execute(update(checkpoints).where(c.site.in_(names)).values(fenced))


async def _hold(connection: AsyncConnection, subject: Subject) -> None:
    """Whoever changes or reminds the participant has done so, or finds nobody; in the order in which they
    lock.
    """
    p = participants.c
    person = select(p.code).where(p.study == subject.study, p.code == subject.participant).with_for_update()
    await connection.execute(person)
    await connection.execute(lock_participants([(subject.study, subject.participant)]))


async def _flag_others_again(connection: AsyncConnection, subject: Subject) -> None:
    """Flags of other sessions that name the subject's: taken away, and made anew from what is left."""
    q = quality_flags.c
    gone = delete(quality_flags).where(foreign_flags(subject)).returning(q.site, q.session_id)
    await _replay(
        connection, {(site, f"{SESSION}{session}") for site, session in await connection.execute(gone)}
    )


async def _replay(connection: AsyncConnection, asked: set[tuple[str, str]]) -> None:
    if asked:
        rows = [
            {"site": site, "doc_id": doc_id, "cause": "reconcile", "requested_by": "erasure"}
            for site, doc_id in sorted(asked)
        ]
        await connection.execute(insert(replays).values(rows).on_conflict_do_nothing())


async def _forget_examples(connection: AsyncConnection, subject: Subject) -> int:
    r = rescorings.c
    own = {tuple(row) for row in await connection.execute(touched_sessions(subject))}
    naming = select(r.id, r.difference).where(names_subject(r.difference, subject))
    rows = (await connection.execute(naming)).all()
    for number, difference in rows:
        kept = _without_examples(difference, own)
        await connection.execute(update(rescorings).where(r.id == number).values(difference=kept))
    return len(rows)


async def _remove_files(connection: AsyncConnection, subject: Subject) -> int:
    """Exports and reports of the study: pseudonyms and digests do not tell in which the subject is."""
    named = forget_requests(subject.study, subject.participant, FILE_REMOVED)
    removed = set((await connection.execute(named)).scalars())
    removed |= set((await connection.execute(remove_of_study(subject.study, FILE_REMOVED))).scalars())
    if removed:
        await connection.execute(ask_for_sweep())
    return len(removed)


def _without_examples(difference: Any, own: set[tuple[Any, ...]]) -> Any:
    """The JSON value without those members of lists that are about one of these (site, session)."""
    if isinstance(difference, Mapping):
        return {name: _without_examples(value, own) for name, value in difference.items()}
    if isinstance(difference, list):
        return [
            _without_examples(value, own)
            for value in difference
            if not (isinstance(value, Mapping) and (value.get("site"), value.get("session")) in own)
        ]
    return difference

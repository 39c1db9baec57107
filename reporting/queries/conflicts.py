"""Sessions whose leaves contradict each other, or whose corrections are outdated: what is to be decided."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Select, and_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.rows import columns_of
from reporting.queries.snapshot import Listed, Page, list_page
from reporting.scope import Scope, within
from reporting.tables import conflicts, documents, losing_revisions, sessions

ConflictState = Literal["open", "resolved", "outdated"]

UNDECIDED: tuple[ConflictState, ...] = ("open", "outdated")


class ConflictFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions: those with a conflict in one of `states`; None = any."""

    site: str | None = None
    session: str | None = None
    states: tuple[ConflictState, ...] | None = UNDECIDED


class ConflictRow(msgspec.Struct, frozen=True):
    """Two values at one path. `other_rev` is a correction's id where a correction is outdated."""

    path: str
    state: str
    winner_rev: str
    winner_value: msgspec.Raw
    other_rev: str
    other_value: msgspec.Raw
    correction: str | None


class _Session(msgspec.Struct, frozen=True):
    site: str
    session: str
    study: str | None
    rev: str | None
    state: str | None
    leaves: list[str] | None


class SessionConflicts(msgspec.Struct, frozen=True):
    """A session with all its conflicts, whatever their state. `rev` and `leaves` are what a decision is told
    to be based on; the content of `losing_revisions` is in the table of that name. `study` is null where the
    session has no rows.
    """

    site: str
    session: str
    study: str | None
    rev: str | None
    state: str | None
    leaves: list[str]
    conflicts: list[ConflictRow]
    losing_revisions: list[str]


def select_conflicted(wanted: ConflictFilter, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: sessions with such conflicts, by site and id. A session without rows is of no study: only
    who may see everything sees it.
    """
    c = conflicts.c
    statement = select(c.site, c.session_id).distinct()
    for column, value in ((c.site, wanted.site), (c.session_id, wanted.session)):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.states is not None:
        statement = statement.where(c.state.in_(wanted.states))
    found = statement.subquery("found")
    return (
        select(
            found.c.site,
            found.c.session_id,
            sessions.c.study,
            sessions.c.rev,
            documents.c.state,
            documents.c.leaves,
        )
        .outerjoin(sessions, and_(sessions.c.site == found.c.site, sessions.c.id == found.c.session_id))
        .outerjoin(
            documents,
            and_(documents.c.site == found.c.site, documents.c.doc_id == "session:" + found.c.session_id),
        )
        .where(within(scope, study=sessions.c.study, site=found.c.site))
        .order_by(found.c.site, found.c.session_id)
    )


async def list_conflicts(
    connection: AsyncConnection, wanted: ConflictFilter, page: Page, scope: Scope
) -> Listed[SessionConflicts]:
    """One page of the matching sessions; read it on one snapshot."""
    listed = await list_page(connection, _Session, select_conflicted(wanted, scope), page)
    rows, losing = await _details(connection, listed.rows)
    return Listed(
        rows=[
            SessionConflicts(
                site=each.site,
                session=each.session,
                study=each.study,
                rev=each.rev,
                state=each.state,
                leaves=each.leaves or [],
                conflicts=rows.get((each.site, each.session), []),
                losing_revisions=losing.get((each.site, f"session:{each.session}"), []),
            )
            for each in listed.rows
        ],
        total=listed.total,
    )


async def _details(
    connection: AsyncConnection, found: Sequence[_Session]
) -> tuple[dict[tuple[str, str], list[ConflictRow]], dict[tuple[str, str], list[str]]]:
    """By site and session, the conflicts; by site and document, the losing revisions."""
    c, losing = conflicts.c, losing_revisions.c
    rows: dict[tuple[str, str], list[ConflictRow]] = {}
    revs: dict[tuple[str, str], list[str]] = {}
    if found:
        for site, session, *row in await connection.execute(
            select(c.site, c.session_id, *columns_of(ConflictRow, conflicts))
            .where(tuple_(c.site, c.session_id).in_([(each.site, each.session) for each in found]))
            .order_by(c.site, c.session_id, c.path, c.other_rev)
        ):
            rows.setdefault((site, session), []).append(ConflictRow(*row))
        doc_ids = [(each.site, f"session:{each.session}") for each in found]
        for site, doc_id, rev in await connection.execute(
            select(losing.site, losing.doc_id, losing.rev)
            .where(tuple_(losing.site, losing.doc_id).in_(doc_ids))
            .order_by(losing.site, losing.doc_id, losing.rev)
        ):
            revs.setdefault((site, doc_id), []).append(rev)
    return rows, revs

"""What a tablet is told about a revision that it pushed, as far as Postgres knows.

"Sync complete" only says that a document left the tablet. A receipt says whether it is in the results, and on
`projected` a tablet may free the space: so it must never be said of a revision that a site database has lost,
nor of one that somebody deleted there before it had rows.

| leaf of its document | of it Postgres has | receipt |
|---|---|---|
| yes | a quarantine entry | `quarantined`, with the reason |
| yes | rows, from it alone, or merged from it and others without an open contradiction | `projected` |
| yes | rows, and a contradiction that is open, or a correction that is outdated | `conflicted` |
| yes, a deletion | no rows: of a deletion there are none | `stored` |
| yes | no judgement of its type | `stored` |
| yes | a record that the session has rows, and no session | `stored`: `reconcile` finds it |
| yes, but the document is gone at its source | rows, marked | `unknown`: pushing again brings it back |
| yes, but a rereading of the source has not come to it | rows | `stored`, if the site database still has it |
| no: deleted since | rows, from it | `projected`: they stay |
| no | its receipt, and nothing of the document | `stored`: not yet read |
| no | its receipt, and other leaves of the document | `superseded?` |
| no | no receipt, but a refusal | `refused`, with the reason |
| no | both: refused once, or by the store at last | as with a receipt, with the reason if it is not there |
| no | nothing | `unknown` |

`superseded?` is not for tablets. Either the revision has been replaced by one of the leaves, or it is newer
than what has been projected: only the site database's revision tree knows, so the gateway asks it.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    column,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.documents.text import key_text
from reporting.projection.batch import State
from reporting.tables import checkpoints, documents, ingest_log, losing_revisions, quarantine, sessions

_SESSION = "session:"


class Told(StrEnum):
    """The receipts that tablets are given, and the one that the gateway still has to resolve."""

    PROJECTED = "projected"
    CONFLICTED = "conflicted"
    QUARANTINED = "quarantined"
    STORED = "stored"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SUPERSEDED_OR_NEWER = "superseded?"


class DocumentReceipt(NamedTuple):
    """The answer for one revision asked about."""

    id: str
    rev: str
    state: Told
    reason: str | None = None
    leaves: tuple[str, ...] = ()
    """With `superseded?`: the leaves that Postgres has judged, to look for a descendant among."""


class PushedRow(NamedTuple):
    """One time that a revision was handed in: by which device, through which hub."""

    rev: str
    device: str
    via: str | None
    received_at: datetime


MOST_PUSHED = 100


class Known(NamedTuple):
    """What Postgres knows of one revision: the columns of `receipts_statement`, in order."""

    state: str | None
    """The document's, of the last batch that changed it; None where it was never read."""
    leaves: Sequence[str] | None
    is_leaf: bool
    is_missing: bool
    """The document is gone from the site database, or deleted there."""
    is_unconfirmed: bool
    """The site is being read again from its start, and the document was not met yet."""
    rows_rev: str | None
    """The revision that the session's rows are of; None where there are none."""
    is_live: bool
    """The winner, or one of the losing revisions: no deletion, unless every leaf is one."""
    problem: str | None
    """Why this revision is quarantined."""
    received: bool
    refused: bool
    refusal: str | None


def select_pushed(site: str, doc_id: str) -> Select[*tuple[Any, ...]]:
    """Statement: the members of PushedRow, the latest first, the first MOST_PUSHED."""
    c = ingest_log.c
    return (
        select(c.rev, c.device, c.via, c.received_at)
        .where(c.site == site, c.doc_id == key_text(doc_id))
        .order_by(c.received_at.desc(), c.rev, c.outcome)
        .limit(MOST_PUSHED)
    )


async def read_receipts(
    connection: AsyncConnection, site: str, asked: Sequence[tuple[str, str]]
) -> list[DocumentReceipt]:
    """The receipts of (document id, revision) pairs of a site, in the order asked."""
    if not asked:
        return []
    doc_ids, revs = ([key_text(part) for part in parts] for parts in zip(*asked, strict=True))
    found = await connection.execute(receipts_statement(), {"site": site, "doc_ids": doc_ids, "revs": revs})
    return [decide_receipt(doc_id, rev, Known(*row)) for (doc_id, rev), row in zip(asked, found, strict=True)]


def decide_receipt(doc_id: str, rev: str, known: Known) -> DocumentReceipt:
    """The table of this module."""
    if known.is_leaf:
        return DocumentReceipt(doc_id, rev, *_judgement_of_leaf(doc_id, rev, known))
    if known.state == State.DELETED and known.rows_rev == key_text(rev):
        return DocumentReceipt(doc_id, rev, Told.PROJECTED)
    if known.received:
        refusal = known.refusal if known.refused else None
        if known.state is None:
            return DocumentReceipt(doc_id, rev, Told.STORED, refusal)
        return DocumentReceipt(doc_id, rev, Told.SUPERSEDED_OR_NEWER, refusal, tuple(known.leaves or ()))
    if known.refused:
        return DocumentReceipt(doc_id, rev, Told.REFUSED, known.refusal)
    return DocumentReceipt(doc_id, rev, Told.UNKNOWN)


def _judgement_of_leaf(doc_id: str, rev: str, known: Known) -> tuple[Told, str | None]:
    """State and reason."""
    if known.is_missing and known.state != State.DELETED:
        return Told.UNKNOWN, None
    if known.problem is not None and not known.is_unconfirmed:
        return Told.QUARANTINED, known.problem
    return _state_of_rows(doc_id, rev, known), None


def _state_of_rows(doc_id: str, rev: str, known: Known) -> Told:
    """Of a leaf without a problem."""
    if known.is_unconfirmed:
        return Told.STORED
    # A leaf without a problem, of a document that is quarantined or deleted, is itself a deletion; so is one
    # of a projected document that is not among its live leaves.
    if known.state is None or known.state in (State.DELETED, State.QUARANTINED):
        return Told.STORED
    if known.state == State.PROJECTED and known.rows_rev != key_text(rev) and not known.is_live:
        return Told.STORED
    # Whatever is recorded: without its row there is no session that a tablet may forget.
    if known.rows_rev is None and doc_id.startswith(_SESSION):
        return Told.STORED
    return Told(known.state)


def receipts_statement() -> Select[*tuple[Any, ...]]:
    """Statement: the members of `Known` for each revision asked about, in the order asked.

    Parameters: `site`, and two arrays of equal length, `doc_ids` and `revs`, spelled by `key_text`.
    """
    asked = (
        func.unnest(bindparam("doc_ids", type_=ARRAY(Text)), bindparam("revs", type_=ARRAY(Text)))
        .table_valued(column("doc_id", Text), column("rev", Text), with_ordinality="position")
        .render_derived("asked")
    )
    site: ColumnElement[str] = bindparam("site", type_=Text)
    doc_id, rev = asked.c.doc_id, asked.c.rev
    receipt, refusal = ingest_log.alias("receipt"), ingest_log.alias("refusal")

    def logged(log: FromClause, outcome: str) -> ColumnElement[bool]:
        return and_(log.c.site == site, log.c.doc_id == doc_id, log.c.rev == rev, log.c.outcome == outcome)

    return (
        select(
            documents.c.state,
            documents.c.leaves,
            func.coalesce(rev == any_(documents.c.leaves), false()),
            documents.c.source_missing_at.is_not(None),
            func.coalesce(documents.c.epoch != checkpoints.c.epoch, false()),
            sessions.c.rev,
            func.coalesce(or_(rev == documents.c.winner_rev, losing_revisions.c.rev.is_not(None)), false()),
            quarantine.c.message,
            receipt.c.rev.is_not(None),
            refusal.c.rev.is_not(None),
            refusal.c.reason,
        )
        .select_from(asked)
        .outerjoin(documents, and_(documents.c.site == site, documents.c.doc_id == doc_id))
        .outerjoin(checkpoints, checkpoints.c.site == site)
        .outerjoin(
            sessions,
            and_(
                sessions.c.site == site,
                doc_id.startswith(_SESSION),
                sessions.c.id == func.substr(doc_id, len(_SESSION) + 1),
            ),
        )
        .outerjoin(
            quarantine,
            and_(quarantine.c.site == site, quarantine.c.doc_id == doc_id, quarantine.c.rev == rev),
        )
        .outerjoin(
            losing_revisions,
            and_(
                losing_revisions.c.site == site,
                losing_revisions.c.doc_id == doc_id,
                losing_revisions.c.rev == rev,
            ),
        )
        .outerjoin(receipt, logged(receipt, "received"))
        .outerjoin(refusal, logged(refusal, "refused"))
        .order_by(asked.c.position)
    )

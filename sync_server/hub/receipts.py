"""Receipts at the hub: what it says by itself, and what only the centre can say.

| the centre said, when it was asked last | the hub | receipt |
|---|---|---|
| `projected`, `conflicted`, `quarantined`, `refused` | (not asked) | that, with `as_of` |
| anything else, or was not asked | has the revision, or a descendant | `stored` |
| | erased the document | `refused`, with the reason |
| | refused it itself | `refused`, with the reason |
| | has nothing of it | `unknown`: the tablet pushes again |

A tablet frees space on `projected`, so the hub never says that of itself. The centre is asked about every
revision on the journal, and about those that a tablet asked for, until it says `projected`.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from replication.values import Rev
from reporting.erasure.names import REASON
from sync_server.hub.centre import FetchedReceipt
from sync_server.hub.journal import refusal_of

MOST_ASKED: Final = 1000
"""Receipts that the centre is asked for in one contact."""
ASK_AGAIN: Final = timedelta(minutes=10)
"""What waits for a person at the centre is asked for less often."""
_FROM_CENTRE: Final = ("projected", "conflicted", "quarantined", "refused")

Revision = tuple[str, str]


class Receipt(msgspec.Struct, frozen=True):
    """As at the centre; `as_of`: when the centre said so, None where the hub does."""

    id: str
    rev: str
    state: str
    reason: str | None = None
    as_of: str | None = None


class Kept(msgspec.Struct, frozen=True):
    """What the records know of a revision: the centre's last word, or the hub's own refusal."""

    state: str | None = None
    reason: str | None = None
    fetched_at: str | None = None
    refusal: str | None = None


def resolve(revision: Revision, kept: Kept, *, stored: bool, erased: bool) -> Receipt:
    """The table of this module."""
    doc_id, rev = revision
    if erased:
        return Receipt(doc_id, rev, "refused", REASON)
    if kept.state in _FROM_CENTRE:
        return Receipt(doc_id, rev, str(kept.state), kept.reason, kept.fetched_at)
    if stored:
        return Receipt(doc_id, rev, "stored")
    if kept.refusal is not None:
        return Receipt(doc_id, rev, "refused", kept.refusal)
    return Receipt(doc_id, rev, "unknown")


def read_kept(connection: sqlite3.Connection, revisions: Sequence[Revision]) -> dict[Revision, Kept]:
    """What is known of these."""
    found = {}
    for doc_id, rev in dict.fromkeys(revisions):
        query = "SELECT state, reason, fetched_at FROM receipts WHERE doc_id = ? AND rev = ?"
        row = connection.execute(query, (doc_id, rev)).fetchone() or (None, None, None)
        state, reason, fetched_at = row
        found[doc_id, rev] = Kept(state, reason, fetched_at, refusal_of(connection, doc_id, rev))
    return found


def want(connection: sqlite3.Connection, revisions: Sequence[Revision]) -> None:
    """Ask the centre about these too."""
    connection.executemany(
        "INSERT INTO receipts (doc_id, rev) VALUES (?, ?) ON CONFLICT DO NOTHING", revisions
    )


def wanted(connection: sqlite3.Connection, at: datetime) -> list[Revision]:
    """What the centre is to be asked for now: first what it was never asked, then the longest ago."""
    rows = connection.execute(
        "SELECT doc_id, rev FROM receipts WHERE (state IS NULL OR state <> 'projected')"
        # One of tomorrow is of a clock that was set back since: it tells nothing of how long ago it was.
        " AND (state IS NULL OR state IN ('stored', 'unknown') OR fetched_at NOT BETWEEN ? AND ?)"
        " ORDER BY fetched_at LIMIT ?",
        ((at - ASK_AGAIN).isoformat(), at.isoformat(), MOST_ASKED),
    )
    return [(doc_id, rev) for doc_id, rev in rows]


def save(connection: sqlite3.Connection, told: Sequence[FetchedReceipt], at: datetime) -> None:
    """Keep the centre's word; nothing of what was taken out of the records meanwhile."""
    connection.executemany(
        "UPDATE receipts SET state = ?, reason = ?, fetched_at = ? WHERE doc_id = ? AND rev = ?",
        [(each.state, each.reason, at.isoformat(), each.id, each.rev) for each in told],
    )


def askable(revisions: Sequence[Revision]) -> Mapping[str, list[Rev]]:
    """What the store can be asked: it refuses the whole question for one text that is no revision."""
    asked: dict[str, list[Rev]] = {}
    for doc_id, rev in dict.fromkeys(revisions):
        try:
            parsed = Rev.parse(rev)
        except ValueError:
            continue
        asked.setdefault(doc_id, []).append(parsed)
    return asked

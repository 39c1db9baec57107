"""The journal: which tablet wrote what, and when, written before the store has it.

The other way round would lose entries: a tablet whose answer was cut off asks for the difference, learns that
nothing is missing, and never sends the document again. What is in the store is therefore always on the
journal, and goes to the centre under the name of the tablet that wrote it, whoever carries it there.

| what happens | what follows |
|---|---|
| the process dies after the entry, before the store | the entry stays, the tablet pushes again |
| the same revision again, or from another tablet | the first entry stands |
| the answer of the centre is lost | the entries are sent again; the centre knows them already |
| a document is refused | an entry with the reason; the newest REFUSALS_KEPT are kept |
| it was erased | its entries are deleted |
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

MOST_SENT: Final = 1000
"""Entries that the centre takes at once."""
REFUSALS_KEPT: Final = 10_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A revision as a tablet sent it; `received_at` is RFC 3339 by the hub's clock.

    `reason` says why it was refused, as the tablet is told; `shown` says it without anything of the document,
    for the status page. `original` are its bytes where they had to be normalised.
    """

    doc_id: str
    rev: str
    outcome: Literal["received", "refused"]
    device: str
    role: str
    credential: str
    received_at: str
    reason: str | None = None
    shown: str | None = None
    original: bytes | None = None


class Told(msgspec.Struct, frozen=True):
    """An entry as the centre gets it."""

    doc_id: str
    rev: str
    device: str
    role: str
    credential: str
    received_at: str


class Refusals(msgspec.Struct, frozen=True):
    """Of one tablet: how many are kept, and why the last one was refused."""

    count: int
    last: str | None


def write(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Put them on the journal, and what was received on the list of receipts to fetch."""
    connection.executemany(
        "INSERT INTO journal"
        " (doc_id, rev, outcome, device, role, credential, received_at, reason, shown, original)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [msgspec.structs.astuple(entry) for entry in entries],
    )
    received = [(entry.doc_id, entry.rev) for entry in entries if entry.outcome == "received"]
    connection.executemany(
        "INSERT INTO receipts (doc_id, rev) VALUES (?, ?) ON CONFLICT DO NOTHING", received
    )
    if len(received) < len(entries):
        connection.execute(
            "DELETE FROM journal WHERE outcome = 'refused' AND entry <= (SELECT entry FROM journal"
            " WHERE outcome = 'refused' ORDER BY entry DESC LIMIT 1 OFFSET ?)",
            (REFUSALS_KEPT,),
        )


def untold(connection: sqlite3.Connection) -> list[tuple[int, Told]]:
    """The oldest entries that the centre has not confirmed, by number."""
    rows = connection.execute(
        "SELECT entry, doc_id, rev, device, role, credential, received_at FROM journal"
        " WHERE told = 0 AND outcome = 'received' ORDER BY entry LIMIT ?",
        (MOST_SENT,),
    )
    return [(number, Told(*entry)) for number, *entry in rows]


def count_untold(connection: sqlite3.Connection) -> int:
    """How many the centre has not confirmed."""
    query = "SELECT count(*) FROM journal WHERE told = 0 AND outcome = 'received'"
    return int(connection.execute(query).fetchone()[0])


def mark_told(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """The centre has confirmed these."""
    connection.executemany("UPDATE journal SET told = 1 WHERE entry = ?", [(number,) for number in numbers])


def doubt(connection: sqlite3.Connection) -> None:
    """The centre may have lost what it confirmed, and what it said became of it."""
    connection.execute("UPDATE journal SET told = 0 WHERE told <> 0")
    connection.execute("UPDATE receipts SET state = NULL, reason = NULL, fetched_at = NULL")


def refusal_of(connection: sqlite3.Connection, doc_id: str, rev: str) -> str | None:
    """Why this revision was refused; None where it was not."""
    query = "SELECT reason FROM journal WHERE doc_id = ? AND rev = ? AND outcome = 'refused'"
    row = connection.execute(query, (doc_id, rev)).fetchone()
    return None if row is None else str(row[0])


def refusals(connection: sqlite3.Connection) -> Mapping[str, Refusals]:
    """By device."""
    rows = connection.execute(
        "SELECT device, count(*), max(entry), shown FROM journal WHERE outcome = 'refused' GROUP BY device"
    )
    return {device: Refusals(count, shown) for device, count, _, shown in rows}


def forget(connection: sqlite3.Connection, documents: Mapping[str, Sequence[str]]) -> None:
    """Take every entry and every receipt of these revisions away, of the document where none is named."""
    for doc_id, revs in documents.items():
        if not revs:
            connection.execute("DELETE FROM journal WHERE doc_id = ?", (doc_id,))
            connection.execute("DELETE FROM receipts WHERE doc_id = ?", (doc_id,))
        named = [(doc_id, rev) for rev in revs]
        connection.executemany("DELETE FROM journal WHERE doc_id = ? AND rev = ?", named)
        connection.executemany("DELETE FROM receipts WHERE doc_id = ? AND rev = ?", named)

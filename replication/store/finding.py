"""Reading the documents that a query asks for, slice by slice, each in one consistent state of the file.

A slice ends when it has looked at so many documents or bytes, whether or not one of them was found: a query
that finds nothing in a large database takes a reader's thread for a moment at a time, and little memory.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from replication.mango.collation import Path
from replication.mango.definition import DESIGN
from replication.mango.fields import extract
from replication.mango.matching import matches
from replication.mango.plan import Plan
from replication.mango.query import Place, Query
from replication.mango.ranges import id_bounds
from replication.store.indexes import table_of
from replication.store.winners import COLUMNS, Winner, read_conflicts

SLICE_DOCUMENTS = 500
SLICE_BYTES = 4 * 1024 * 1024

Row = tuple[Place, Winner]


class Search(msgspec.Struct, frozen=True):
    """A planned query. `prefixes`: only documents whose id begins so are visible; None = all."""

    query: Query
    plan: Plan
    fields: tuple[Path, ...]
    prefixes: tuple[str, ...] | None = None


class Found(msgspec.Struct, frozen=True):
    """A slice: documents as JSON with their places. `last` is where to go on; None: there is no more.

    `skipped` counts documents that were found and passed over, `examined` those that were looked at.
    """

    documents: tuple[tuple[Place, bytes], ...]
    last: Place | None
    skipped: int
    examined: int


def find(connection: sqlite3.Connection, search: Search, after: Place | None, skip: int, limit: int) -> Found:
    """The next documents after a place: `skip` of them passed over, then at most `limit` (1 or more)."""
    documents: list[tuple[Place, bytes]] = []
    skipped = examined = size = 0
    last = None
    rows = _rows(connection, search, after)
    for place, winner in rows:
        last = place
        examined += 1
        size += len(winner.body)
        found = _document(connection, search, winner) if _visible(winner.id, search.prefixes) else None
        if found is not None and skipped < skip:
            skipped += 1
        elif found is not None:
            documents.append((place, found))
            if len(documents) == limit:
                break
        if examined == SLICE_DOCUMENTS or size >= SLICE_BYTES:
            break
    else:
        last = None
    return Found(tuple(documents), last, skipped, examined)


def _visible(doc_id: str, prefixes: tuple[str, ...] | None) -> bool:
    if doc_id.startswith(DESIGN):
        return False
    return prefixes is None or doc_id.startswith(prefixes)


def _document(connection: sqlite3.Connection, search: Search, winner: Winner) -> bytes | None:
    """The document as the query wants to see it; None when it does not meet the selector."""
    members = winner.members()
    if search.query.conflicts:
        conflicts = read_conflicts(connection, winner.doc)
        members.update({"_conflicts": conflicts} if conflicts else {})
    value = winner.value(members)
    if not matches(search.query.selector, value):
        return None
    if search.fields:
        return msgspec.json.encode(extract(value, search.fields))
    return winner.json(members)


def _rows(connection: sqlite3.Connection, search: Search, after: Place | None) -> Iterator[Row]:
    if search.plan.index.ddoc is None:
        return _by_id(connection, search, after)
    return _by_key(connection, search, after)


def _by_id(connection: sqlite3.Connection, search: Search, after: Place | None) -> Iterator[Row]:
    bounds = id_bounds(search.query.selector)
    descending = search.query.descending
    held: list[tuple[str, Any]] = [
        (">" if bounds.after else ">=", bounds.low),
        ("<" if bounds.before else "<=", bounds.high),
        ("<" if descending else ">", None if after is None else after.id),
    ]
    held = [(comparison, bound) for comparison, bound in held if bound is not None]
    # Put together from constants; every value is a bound parameter.
    where = " AND ".join(["NOT d.deleted", *(f"d.id {comparison} ?" for comparison, _ in held)])
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM docs d CROSS JOIN bodies b ON b.body = d.body "  # noqa: S608
        f"WHERE {where} ORDER BY d.id {_order(descending=descending)} LIMIT ?",
        (*(bound for _, bound in held), SLICE_DOCUMENTS),
    )
    for row in rows:
        winner = Winner.of(row)
        yield Place(b"", winner.id), winner


def _by_key(connection: sqlite3.Connection, search: Search, after: Place | None) -> Iterator[Row]:
    known = table_of(connection, search.plan.index)
    if known is None:
        return
    descending = search.query.descending
    keys = search.plan.keys
    beyond = ""
    place: tuple[object, ...] = ()
    if after is not None:
        beyond = f"AND (m.key, m.id) {'<' if descending else '>'} (?, ?) "
        place = (after.key, after.id)
    order = _order(descending=descending)
    # CROSS JOIN keeps SQLite to this order of reading; every value is a bound parameter.
    rows = connection.execute(
        f"SELECT m.key, {COLUMNS} FROM {known[0]} m "  # noqa: S608
        "CROSS JOIN docs d ON d.doc = m.doc CROSS JOIN bodies b ON b.body = d.body "
        f"WHERE m.key >= ? AND m.key < ? {beyond}AND NOT d.deleted AND d.id = m.id "
        f"ORDER BY m.key {order}, m.id {order} LIMIT ?",
        (keys.low, keys.high, *place, SLICE_DOCUMENTS),
    )
    for key, *row in rows:
        winner = Winner.of(tuple(row))
        yield Place(key, winner.id), winner


def _order(*, descending: bool) -> str:
    return "DESC" if descending else "ASC"

"""Mango's indexes in the database's file: one table of (key, id) for each distinct definition.

A table is caught up by sequence before it is read, not kept by every write: tablets push all day and ask no
questions, so a push costs the same however many indexes there are, and no odd document can make it fail. The
query that comes after pays, a few hundred documents at a time, so that pushes go between; as all of it is one
file, a table and the sequence it has reached are never apart, whatever crash or restored backup comes.

    what happens                                       what follows
    -----------------------------------------------    ----------------------------------------------------
    a document changed since the table's sequence      its rows are removed and made anew
    a definition arrives, by whatever way              its table is made when a query first needs it
    a definition is gone, by whatever way              its table is dropped when a query or `_index` notices
    two definitions say the same                       they share a table
    a new version sorts differently                    so signatures differ: old tables go, new ones are made
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from replication.mango.collation import column_key
from replication.mango.definition import DESIGN, Index, indexes_of
from replication.mango.fields import Absent, lookup
from replication.mango.matching import matches
from replication.store.winners import COLUMNS, Winner

BATCH_DOCUMENTS = 500
BATCH_BYTES = 4 * 1024 * 1024
"""How much one write job indexes at most: other writers wait for no more than that."""

_CATALOGUE = (
    "CREATE TABLE IF NOT EXISTS mango (number INTEGER PRIMARY KEY, signature TEXT NOT NULL UNIQUE, "
    "seq INTEGER NOT NULL)"
)
_AFTER_DESIGN = DESIGN[:-1] + chr(ord("/") + 1)


class Catalogue(msgspec.Struct, frozen=True):
    """The indexes that the design documents define; `leftovers`: whether there are tables of others."""

    indexes: tuple[Index, ...]
    leftovers: bool


def read_catalogue(connection: sqlite3.Connection) -> Catalogue:
    """What is defined now."""
    indexes = _defined(connection)
    wanted = {index.signature for index in indexes}
    return Catalogue(indexes, not _signatures(connection) <= wanted)


def _defined(connection: sqlite3.Connection) -> tuple[Index, ...]:
    rows = connection.execute(
        "SELECT d.id, b.json FROM docs d JOIN bodies b ON b.body = d.body "
        "WHERE d.id >= ? AND d.id < ? AND NOT d.deleted ORDER BY d.id",
        (DESIGN, _AFTER_DESIGN),
    )
    found = [index for ddoc, body in rows for index in indexes_of(ddoc, msgspec.json.decode(body))]
    return tuple(sorted(found, key=lambda index: (index.ddoc or "", index.name)))


def _signatures(connection: sqlite3.Connection) -> set[str]:
    if not _has_catalogue(connection):
        return set()
    return {signature for (signature,) in connection.execute("SELECT signature FROM mango")}


def _has_catalogue(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'mango'"
    return connection.execute(query).fetchone() is not None


def drop_leftovers(connection: sqlite3.Connection) -> None:
    """Drop the tables of definitions that are gone."""
    wanted = {index.signature for index in _defined(connection)}
    for signature in _signatures(connection) - wanted:
        (number,) = connection.execute(
            "DELETE FROM mango WHERE signature = ? RETURNING number", (signature,)
        ).fetchone()
        connection.execute(f"DROP TABLE mango_{number}")


def table_of(connection: sqlite3.Connection, index: Index) -> tuple[str, int] | None:
    """The index's table and the sequence it has reached; None when it was never made."""
    if not _has_catalogue(connection):
        return None
    row = connection.execute(
        "SELECT number, seq FROM mango WHERE signature = ?", (index.signature,)
    ).fetchone()
    return None if row is None else (f"mango_{row[0]}", row[1])


def forget(connection: sqlite3.Connection, doc: int) -> None:
    """Take a document that is purged out of every table; what is left of it comes with its new sequence."""
    if _has_catalogue(connection):
        for (number,) in connection.execute("SELECT number FROM mango").fetchall():
            connection.execute(f"DELETE FROM mango_{number} WHERE doc = ?", (doc,))  # noqa: S608


def _made_table(connection: sqlite3.Connection, index: Index) -> tuple[str, int]:
    connection.execute(_CATALOGUE)
    known = table_of(connection, index)
    if known is not None:
        return known
    number = connection.execute(
        "INSERT INTO mango (signature, seq) VALUES (?, 0)", (index.signature,)
    ).lastrowid
    table = f"mango_{number}"
    connection.execute(
        f"CREATE TABLE {table} "
        "(key BLOB NOT NULL, id TEXT NOT NULL, doc INTEGER NOT NULL, PRIMARY KEY (key, id)) WITHOUT ROWID"
    )
    connection.execute(f"CREATE INDEX {table}_doc ON {table} (doc)")
    return table, 0


def catch_up(connection: sqlite3.Connection, index: Index) -> int:
    """Index the next batch of changes; the sequence that the table has reached then."""
    table, since = _made_table(connection, index)
    reached, size = since, 0
    changed: list[Winner] = []
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM docs d JOIN bodies b ON b.body = d.body "  # noqa: S608
        "WHERE d.seq > ? ORDER BY d.seq LIMIT ?",
        (since, BATCH_DOCUMENTS),
    )
    for row in rows:
        winner = Winner.of(row)
        reached, size = winner.seq, size + len(winner.body)
        changed.append(winner)
        if size >= BATCH_BYTES:
            break
    rows.close()
    connection.executemany(f"DELETE FROM {table} WHERE doc = ?", ((winner.doc,) for winner in changed))  # noqa: S608
    connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", _entries(index, changed))  # noqa: S608
    if len(changed) < BATCH_DOCUMENTS and size < BATCH_BYTES:
        (reached,) = connection.execute("SELECT value FROM meta WHERE name = 'update_seq'").fetchone()
    connection.execute("UPDATE mango SET seq = ? WHERE signature = ?", (reached, index.signature))
    return int(reached)


def _entries(index: Index, changed: Sequence[Winner]) -> Iterable[tuple[bytes, str, int]]:
    for winner in changed:
        if winner.deleted or winner.id.startswith(DESIGN):
            continue
        key = index_key(index, winner.value(winner.members()))
        if key is not None:
            yield key, winner.id, winner.doc


def index_key(index: Index, document: object) -> bytes | None:
    """The document's key in the index; None when it lacks a column or the partial filter leaves it out."""
    values = [(path, lookup(document, path)) for path in index.paths]
    if any(isinstance(value, Absent) for _, value in values) or not matches(index.partial_filter, document):
        return None
    return b"".join(column_key(path, value) for path, value in values)

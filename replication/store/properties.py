"""What a database is told about itself by its administrators, and how large it is: its meta rows.

member                means
------------------    ---------------------------------------------------------------------------------
sizes.file            bytes of the file, once its write-ahead log is brought back into it
sizes.active          bytes of it in use; the rest are free pages, which the next writes or compaction take
sizes.external        bytes of JSON and attachments; revisions that are no leaf count until compaction
revs_limit            generations of a document's history that a write keeps
purged_infos_limit    purges that are remembered
security              kept for clients that read it back; who may do what is decided by `Access`
"""

import sqlite3
from typing import Any

import msgspec

_ADMINS_ONLY = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}

_object = msgspec.json.Decoder(dict[str, Any])


class Sizes(msgspec.Struct, frozen=True):
    """Bytes; see the table of this module."""

    file: int
    active: int
    external: int


def read_sizes(connection: sqlite3.Connection) -> Sizes:
    """The sizes of the file, without reading it."""
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (external,) = connection.execute("SELECT value FROM meta WHERE name = 'data_size'").fetchone()
    return Sizes(pages * page, (pages - free) * page, external)


def set_limit(connection: sqlite3.Connection, name: str, limit: int) -> None:
    """Set `revs_limit` or `purged_infos_limit`; the next write or purge keeps to it."""
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (limit, name))


def read_security(connection: sqlite3.Connection) -> dict[str, Any]:
    """The security object; without one CouchDB's, which lets in administrators only."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'security'").fetchone()
    return _ADMINS_ONLY if row is None else _object.decode(row[0])


def set_security(connection: sqlite3.Connection, security: dict[str, Any]) -> None:
    """Replace the security object."""
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('security', ?)", (msgspec.json.encode(security).decode(),)
    )

"""What was erased may not come again, not from a tablet that still has it.

The centre's fingerprints are keyed, and a hub that can be stolen does not get that key. So the hub keeps
fingerprints of its own, by a key of its own, of the documents that it was told to erase.
"""

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sync_server.key_file import load_or_create_key

REASON: Final = "erased on request"
"""In the centre's words: receipts tell it."""


class Erased:
    """The fingerprints, in memory."""

    def __init__(self, key: bytes, known: Iterable[bytes]) -> None:
        self._key = key
        self._known = set(known)

    def __contains__(self, doc_id: object) -> bool:
        return isinstance(doc_id, str) and self.fingerprint(doc_id) in self._known

    def fingerprint(self, doc_id: str) -> bytes:
        """What is kept of a document's id."""
        return hmac.digest(self._key, doc_id.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def block(self, doc_ids: Iterable[str]) -> list[bytes]:
        """Refuse these from now on; their fingerprints, to be kept."""
        made = [self.fingerprint(doc_id) for doc_id in doc_ids]
        self._known.update(made)
        return made


def load_key(data_dir: Path) -> bytes:
    """The key of the fingerprints, made at the first start. Raises ReadableByOthers, OSError."""
    return load_or_create_key(data_dir / "erased.key", lambda: secrets.token_bytes(32))


def keep(connection: sqlite3.Connection, fingerprints: Iterable[bytes]) -> None:
    """Keep them for the next start."""
    connection.executemany(
        "INSERT INTO erased VALUES (?) ON CONFLICT DO NOTHING", [(each,) for each in fingerprints]
    )


def kept(connection: sqlite3.Connection) -> list[bytes]:
    """All of them."""
    return [bytes(row[0]) for row in connection.execute("SELECT fingerprint FROM erased")]

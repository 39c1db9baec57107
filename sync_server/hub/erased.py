"""What was erased may not come again, not from a tablet that still has it.

The centre's fingerprints are keyed, and a hub that can be stolen does not get that key. So the hub keeps
fingerprints of its own, by a key of its own, of the documents that it was told to erase.
"""

import hashlib
import hmac
import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sync_server.key_file import load_or_create_key


class Erased:
    """The fingerprints, in memory."""

    def __init__(self, key: bytes, known: Iterable[bytes]) -> None:
        self._key = key
        self._known = set(known)

    def has(self, doc_id: str, rev: str | None) -> bool:
        """Whether the document was erased, or this revision of it."""
        return self._fingerprint(doc_id) in self._known or (
            rev is not None and self._fingerprint(doc_id, rev) in self._known
        )

    def block(self, documents: Mapping[str, Sequence[str]]) -> list[bytes]:
        """Refuse these revisions from now on, the whole document where none is named; their fingerprints, to
        be kept.
        """
        made: list[bytes] = []
        for doc_id, revs in documents.items():
            made += [self._fingerprint(doc_id, rev) for rev in revs] or [self._fingerprint(doc_id)]
        self._known.update(made)
        return made

    def _fingerprint(self, *names: str) -> bytes:
        # JSON: no id and revision together read as another id.
        text = json.dumps(names).encode()
        return hmac.digest(self._key, text, hashlib.sha256)


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

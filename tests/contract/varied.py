"""Documents of every kind that replication has to carry: 9 leaves of 7 documents."""

import base64
from typing import Any

from tests.contract.couch import replicated

LEAVES = 9


def attachment(content_type: str, data: bytes) -> dict[str, Any]:
    """An inline attachment."""
    return {"content_type": content_type, "data": base64.b64encode(data).decode()}


def varied_documents() -> list[dict[str, Any]]:
    """Deep histories, conflicts, deletions, attachments, difficult names and text; replicated edits."""
    files = {
        "empty": attachment("text/plain", b""),
        "big.bin": attachment("application/octet-stream", bytes(range(256)) * 2000),
        "notes.txt": attachment("text/plain", b"same " * 900),
    }
    return [
        replicated("plain", "1-a", n=1),
        replicated("deep", "3-c", "2-b", "1-a", n=3),
        replicated("conflict", "2-b", "1-a", who="b"),
        replicated("conflict", "2-c", "1-a", who="c"),
        replicated("gone", "2-d", "1-a", _deleted=True, why="withdrawn"),
        replicated("half-gone", "2-x", "1-a", _deleted=True),
        replicated("half-gone", "2-b", "1-a", n=2),
        replicated("\u00fcn\u00efcode/ and +", "1-a", text="\u0001 \U0001f600"),
        replicated("attached", "1-a", _attachments=files),
    ]

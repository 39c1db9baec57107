"""The winning revisions of a database as CouchDB-Python's `couchdb-load` reads them: MIME, `multipart/mixed`.

An extra for tools, no backup: no histories, conflicts or deletions; whoever loads it writes new revisions.

    --<boundary>                                  --<boundary>
    Content-ID: <id>                              Content-ID: <id>
    Content-Type: application/json                Content-Type: multipart/mixed; boundary="…"
                                                    --…  application/json: the document
    {"_id": …, "_rev": …}                           --…  each attachment, Content-ID: its name
"""

import asyncio
import base64
import hashlib
import uuid
from email.header import Header
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from replication.dump.place import Place, retried
from replication.dump.writing import fetched

_PAGE = 50
_Headers = dict[str, str]


class _Value(msgspec.Struct):
    rev: str


class _Row(msgspec.Struct):
    id: str
    value: _Value


class _Rows(msgspec.Struct):
    rows: list[_Row]


async def dump_winners(place: Place, database: str, path: Path) -> int:
    """Write all documents that are not deleted to a new file; how many. Raises CouchError, OSError."""
    client = place.client
    file = await asyncio.to_thread(_opened, path)
    written = 0
    query = {"limit": str(_PAGE)}
    with file:
        envelope = _Envelope(file, {})
        while True:
            listed = await retried(client.request, "GET", f"/{database}/_all_docs", _Rows, query=dict(query))
            wanted = [(row.id, row.value.rev) for row in listed.rows]
            async for leaf in fetched(client, database, wanted, {"attachments": "true"}):
                _add(envelope, msgspec.json.decode(leaf.body, type=dict[str, Any]))
                written += 1
            if len(wanted) < _PAGE:
                break
            query |= {"startkey": msgspec.json.encode(wanted[-1][0]).decode(), "skip": "1"}
        envelope.close()
    return written


def _opened(path: Path) -> BinaryIO:
    file = path.open("xb")
    path.chmod(0o600)
    return file


def _add(envelope: "_Envelope", document: dict[str, Any]) -> None:
    attachments = document.pop("_attachments", {})
    headers = {"Content-ID": document["_id"], "ETag": f'"{document["_rev"]}"'}
    content = msgspec.json.encode(document)
    if not attachments:
        envelope.add("application/json", content, headers)
        return
    parts = envelope.open(headers)
    parts.add("application/json", content, {})
    for name, told in attachments.items():
        parts.add(told["content_type"], base64.b64decode(told["data"]), {"Content-ID": name})
    parts.close()


class _Envelope:
    def __init__(self, file: BinaryIO, headers: _Headers) -> None:
        self._file = file
        self._boundary = f"=={uuid.uuid4().hex}=="
        self._head({**headers, "Content-Type": f'multipart/mixed; boundary="{self._boundary}"'})

    def open(self, headers: _Headers) -> "_Envelope":
        self._file.write(f"--{self._boundary}\r\n".encode())
        return _Envelope(self._file, headers)

    def add(self, content_type: str, content: bytes, headers: _Headers) -> None:
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        told = {"Content-Type": content_type}
        if content:
            told |= {"Content-Length": str(len(content)), "Content-MD5": digest}
        self._file.write(f"--{self._boundary}\r\n".encode())
        self._head(headers | told)
        # What reads this takes an end of line after nothing for content.
        if content:
            self._file.write(content + b"\r\n")

    def close(self) -> None:
        self._file.write(f"--{self._boundary}--\r\n".encode())

    def _head(self, headers: _Headers) -> None:
        for name, value in sorted(headers.items()):
            told = value if value.isascii() and value.isprintable() else Header(value, "utf-8").encode()
            self._file.write(f"{name}: {told}\r\n".encode())
        self._file.write(b"\r\n")

"""The dump file of one database: gzip of JSON lines, one leaf a line, in the order of the feed.

    {"_id": "session:1", "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "a"]}, …}
    {"_id": "consent:1", "_rev": "1-a", …, "_multipart": "multipart/related; boundary=…", "_parts": 2}
    {"_part": "<base64>"}
    {"_part": "<base64>"}

A line is a document as `_bulk_docs` takes it with `new_edits=false`: deleted leaves have `_deleted`, small
attachments are inside as base64. A leaf with large attachments is a line that only names it, and the
lines that follow it hold what `PUT /<database>/<id>?new_edits=false` takes, in pieces: neither writing
nor reading ever holds more than one document or one piece in memory. `zcat` shows everything else.

A file may hold a leaf twice, and one that a later line replaces: a document was saved while it was read.

| damage | found by |
|---|---|
| a byte changed, a file cut off | its SHA-256 and size, which the caller keeps; gzip's own check; counts |
| a line that is no leaf or piece, pieces without their leaf | reading the line |
"""

import base64
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from replication.values import Rev

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECE_BYTES = 768 * 1024
"""Of a large leaf's body in one line; a multiple of 3, so that base64 has no padding inside."""

_LEVEL = 3
"""gzip's: sessions shrink to a ninth at 3 and to a tenth at 9, which takes six times as long."""

_HASHED_AT_ONCE = 1024 * 1024


class DumpDamaged(Exception):
    """A dump file is not what was written; the message says which and where."""


class _Revisions(msgspec.Struct):
    start: int
    ids: list[str]


class _Line(msgspec.Struct):
    id: str = msgspec.field(default="", name="_id")
    rev: str = msgspec.field(default="", name="_rev")
    revisions: _Revisions | None = msgspec.field(default=None, name="_revisions")
    deleted: bool = msgspec.field(default=False, name="_deleted")
    multipart: str = msgspec.field(default="", name="_multipart")
    parts: int = msgspec.field(default=0, name="_parts")
    part: str | None = msgspec.field(default=None, name="_part")


class _NamedLeaf(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    rev: str = msgspec.field(name="_rev")
    revisions: _Revisions = msgspec.field(name="_revisions")
    multipart: str = msgspec.field(name="_multipart")
    parts: int = msgspec.field(name="_parts")


class _Naming(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    rev: str = msgspec.field(name="_rev")
    revisions: _Revisions = msgspec.field(name="_revisions")


class DumpedLeaf(msgspec.Struct, frozen=True):
    """One leaf of a file. `path` is its history, newest first; `json` the document, or where it is large
    (`content_type` is not empty) the line that names it.
    """

    id: str
    rev: str
    path: tuple[Rev, ...]
    deleted: bool
    json: bytes
    content_type: str = ""
    pieces: int = 0


class Counts(msgspec.Struct, frozen=True):
    """What a file holds: leaves (those named twice counted twice), deleted ones among them, and the bytes of
    its lines.
    """

    leaves: int = 0
    deleted: int = 0
    content_bytes: int = 0


class Written(msgspec.Struct, frozen=True):
    """A finished file: its size and SHA-256, in hexadecimal, and what it holds."""

    bytes: int
    sha256: str
    counts: Counts


class _Hashing(io.RawIOBase):
    """Passes bytes on to a file and hashes them."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        content = bytes(data)
        self._out.write(content)
        self.sha256.update(content)
        self.size += len(content)
        return len(content)


class DumpWriter:
    """Writes one file; `finish` has it on disk."""

    def __init__(self, path: Path) -> None:
        """Raises FileExistsError: nothing is overwritten."""
        self._file = path.open("xb")
        path.chmod(0o600)
        self._hashing = _Hashing(self._file)
        # No name and time in the header: the same leaves make the same bytes.
        self._gzip = gzip.GzipFile("", "wb", _LEVEL, self._hashing, mtime=0)
        self._leaves = self._deleted = self._content = 0

    def leaf(self, json: bytes) -> None:
        """A document with `_id`, `_rev`, `_revisions` and its attachments, in any layout."""
        # Inside a string a line's end is escaped: these can only stand between two members.
        line = json.replace(b"\n", b" ").replace(b"\r", b" ")
        self._leaves += 1
        self._deleted += leaf_of(line).deleted
        self._write(line)

    def large_leaf(self, json: bytes, content_type: str, body: BinaryIO) -> None:
        """The same for one whose body, as it is to be PUT, is read from a file that is at its start."""
        named = msgspec.json.decode(json, type=_Naming)
        size = body.seek(0, os.SEEK_END)
        body.seek(0)
        pieces = -(-size // PIECE_BYTES)
        self._leaves += 1
        line = _NamedLeaf(named.id, named.rev, named.revisions, content_type, pieces)
        self._write(msgspec.json.encode(line))
        while piece := body.read(PIECE_BYTES):
            self._write(b'{"_part":"' + base64.b64encode(piece) + b'"}')

    def _write(self, line: bytes) -> None:
        self._gzip.write(line + b"\n")
        self._content += len(line) + 1

    @property
    def content_bytes(self) -> int:
        """Bytes of the lines so far."""
        return self._content

    def finish(self) -> Written:
        """Write the end; the file is on disk when this returns."""
        self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        counts = Counts(self._leaves, self._deleted, self._content)
        return Written(self._hashing.size, self._hashing.sha256.hexdigest(), counts)

    def abandon(self) -> None:
        """Close it unfinished."""
        self._file.close()


def leaf_of(line: bytes) -> DumpedLeaf:
    """The leaf of a line. Raises DumpDamaged."""
    try:
        read = msgspec.json.decode(line, type=_Line)
        path = None if read.revisions is None else Rev.path(read.revisions.start, read.revisions.ids)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DumpDamaged(f"it holds a line that is no leaf: {error}") from error
    if path is None or not read.id:
        raise DumpDamaged("it holds a line that is no leaf: it has no _id or no _revisions")
    if str(path[0]) != read.rev:
        raise DumpDamaged(f"its leaf {read.id} {read.rev} has the history of another revision")
    return DumpedLeaf(read.id, read.rev, path, read.deleted, line, read.multipart, read.parts)


class DumpReader:
    """Reads one file from its start: leaves, and the pieces of a large one when it is at that leaf."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = gzip.GzipFile(path, "rb")
        self._unread = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def leaves(self) -> Iterator[DumpedLeaf]:
        """All leaves. Pieces that nobody took are passed over. Raises DumpDamaged."""
        while True:
            for _ in self.pieces():
                pass
            line = self._line()
            if not line:
                return
            leaf = leaf_of(line)
            self._unread = leaf.pieces
            yield leaf

    def pieces(self) -> Iterator[bytes]:
        """What follows the leaf that `leaves` gave last. Raises DumpDamaged."""
        while self._unread:
            self._unread -= 1
            line = self._line()
            try:
                part = msgspec.json.decode(line, type=_Line).part if line else None
                piece = None if part is None else base64.b64decode(part, validate=True)
            except (msgspec.DecodeError, ValueError) as error:
                raise DumpDamaged(f"{self._path.name}: {error}") from error
            if piece is None:
                raise DumpDamaged(f"{self._path.name}: a piece of a large leaf is missing")
            yield piece

    def _line(self) -> bytes:
        try:
            line = self._file.readline()
        except (OSError, EOFError, zlib.error) as error:
            raise DumpDamaged(f"{self._path.name} cannot be read: {error}") from error
        if line and not line.endswith(b"\n"):
            raise DumpDamaged(f"{self._path.name} ends in the middle of a line")
        return line[:-1]


def check_bytes(path: Path, size: int, sha256: str) -> None:
    """Compare a file's size and SHA-256 with what was written down. Raises DumpDamaged, OSError."""
    if not path.is_file():
        raise DumpDamaged(f"{path.name} is missing")
    if path.stat().st_size != size:
        raise DumpDamaged(f"{path.name} has {path.stat().st_size} bytes instead of {size}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASHED_AT_ONCE):
            digest.update(piece)
    if digest.hexdigest() != sha256:
        raise DumpDamaged(f"{path.name} is not what was written: its SHA-256 differs")


def check_dump(path: Path, written: Written, *, tell: Callable[[int], None] = lambda _: None) -> None:
    """Read a whole file back: bytes, lines, counts. `tell` hears of every leaf's bytes. Raises DumpDamaged,
    OSError.
    """
    check_bytes(path, written.bytes, written.sha256)
    reader = DumpReader(path)
    leaves = deleted = 0
    try:
        for leaf in reader.leaves():
            leaves += 1
            deleted += leaf.deleted
            tell(len(leaf.json) + sum(len(piece) for piece in reader.pieces()))
    except DumpDamaged as error:
        raise DumpDamaged(f"{path.name}: {error}") from error
    finally:
        reader.close()
    expected = written.counts
    if (leaves, deleted) != (expected.leaves, expected.deleted):
        raise DumpDamaged(
            f"{path.name} holds {leaves} leaves, {deleted} of them deleted, "
            f"instead of {expected.leaves} and {expected.deleted}"
        )

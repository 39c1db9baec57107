"""Loading dump files into a database: every leaf with the revisions it had.

| what happens | what follows |
|---|---|
| it dies half way, or runs twice | `_revs_diff` tells what is there already; the rest is written |
| no answer, 429, 503, … | the same batch again, a bounded number of times |
| the server refuses a document | the others go on; the refusal is in the outcome |
| `keep` says no | the leaf is passed over and counted |
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from replication.client import NotWritten
from replication.dump.comparing import ExpectedLeaves
from replication.dump.lines import DumpedLeaf, DumpReader
from replication.dump.place import Place, retried
from replication.errors import BadRequest, CouchError, Forbidden, TooLarge
from replication.push import BATCH_BYTES, BATCH_DOCUMENTS, Outgoing, push_batch

_PIECE = 64 * 1024

Keep = Callable[[DumpedLeaf, bytes | None], Awaitable[bool]]
"""Whether a leaf is loaded; hears its document's JSON, None where the file holds it as a large one."""


class Loaded(msgspec.Struct):
    """What became of the leaves of some files."""

    stored: int = 0
    known: int = 0
    """There already."""
    left_out: int = 0
    """As `keep` said."""
    refused: list[NotWritten] = []


async def load_file(
    place: Place,
    database: str,
    path: Path,
    expected: ExpectedLeaves,
    loaded: Loaded,
    *,
    keep: Keep | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> None:
    """Push a file's leaves and note in `expected` what has to be there then. `tell` hears of every leaf's
    bytes; without `keep` all are pushed. Raises DumpDamaged, CouchError.
    """
    reader = DumpReader(path)
    batch: list[Outgoing] = []
    held = 0
    leaves = reader.leaves()
    try:
        while (leaf := await asyncio.to_thread(next, leaves, None)) is not None:
            tell(len(leaf.json))
            if keep is not None and not await keep(leaf, None if leaf.pieces else leaf.json):
                loaded.left_out += 1
                continue
            expected.add(leaf.id, leaf.rev, leaf.path)
            if leaf.pieces:
                await _load_large(place, database, leaf, _told(reader.pieces(), tell), loaded)
                continue
            if batch and (len(batch) >= BATCH_DOCUMENTS or held + len(leaf.json) > BATCH_BYTES):
                await _push(place, database, batch, loaded)
                batch, held = [], 0
            batch.append(Outgoing(leaf.id, leaf.rev, leaf.json))
            held += len(leaf.json)
        if batch:
            await _push(place, database, batch, loaded)
    finally:
        reader.close()


async def _push(place: Place, database: str, batch: list[Outgoing], loaded: Loaded) -> None:
    pushed = await push_batch(place.client, database, batch)
    loaded.stored += len(pushed.stored)
    loaded.known += len(pushed.known)
    loaded.refused.extend(pushed.refused)


async def _load_large(
    place: Place, database: str, leaf: DumpedLeaf, pieces: Iterator[bytes], loaded: Loaded
) -> None:
    diff = await retried(place.client.revs_diff, database, {leaf.id: [leaf.rev]})
    if leaf.id not in diff:
        loaded.known += 1
        return
    with tempfile.TemporaryFile() as body:
        await asyncio.to_thread(_spool, pieces, body)
        try:
            await retried(_put, place, database, leaf, body)
        except (TooLarge, BadRequest, Forbidden) as error:
            loaded.refused.append(_refusal(leaf, error))
        else:
            loaded.stored += 1


def _told(pieces: Iterator[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        tell(len(piece))
        yield piece


def _spool(pieces: Iterator[bytes], body: BinaryIO) -> None:
    body.writelines(pieces)


async def _put(place: Place, database: str, leaf: DumpedLeaf, body: BinaryIO) -> None:
    body.seek(0)

    async def sent() -> Any:
        while piece := body.read(_PIECE):
            yield piece

    await place.peer(database).put_document(leaf.id, leaf.content_type, sent())


def _refusal(leaf: DumpedLeaf, error: CouchError) -> NotWritten:
    return NotWritten(leaf.id, leaf.rev, error.error, error.reason)

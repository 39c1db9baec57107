"""Dumping a database while it serves: its feed from a sequence to the end, every leaf with everything.

    _changes (style=all_docs) ──▶ _bulk_get (revs, latest) ──▶ small attachments: _bulk_get (attachments)
                                                           └─▶ large ones: GET, as it streams, through a file

| what happens | what follows |
|---|---|
| a document is saved while it is read | `latest`: the newer leaf is in the file, or both |
| … after it was read | it comes again in the feed, which is read to its end, or after its sequence |
| a leaf is purged meanwhile | it is left out: the feed does not name it any more either |
| a copy of a cluster does not give a leaf that the feed names | asked for again, then Unavailable: no run |
| an answer is too large | the batch in halves, down to one document, which has to come whole |
| no answer, 429, 503, … | the same request again, a bounded number of times |
| the database is recreated or put back meanwhile | DatabaseChanged: the file is worth nothing |
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from replication.client import CouchClient
from replication.dump.lines import DumpWriter, Written
from replication.dump.place import Place, retried
from replication.errors import NotFound, TooLarge, Unavailable
from replication.replicator.peer import Fetched
from replication.values import Leaf

PAGE = 500
"""Documents of one reading of the feed."""
FETCHED_AT_ONCE = 100
MOST_BYTES_AT_ONCE = 32 * 1024 * 1024
"""Of an answer with several documents."""
INLINE_BYTES = 2 * 1024 * 1024
"""Attachments of a leaf up to this size together go into its line."""
_INLINE_AT_ONCE = 8 * 1024 * 1024

Tell = Callable[[int, int | None, int], None]
"""Hears of progress: documents read, documents to come (None: unknown), bytes written."""


class DatabaseChanged(Exception):
    """The database was recreated or put back while it was read; read it again."""


class Dumped(msgspec.Struct, frozen=True):
    """A database's file: `documents` were read up to the sequence `until`; another database under the same
    name has another `instance`, where the server tells one.
    """

    documents: int
    until: str
    instance: str
    written: Written


class _Stub(msgspec.Struct):
    length: int = 0


class _WithStubs(msgspec.Struct):
    attachments: dict[str, _Stub] = msgspec.field(default_factory=dict, name="_attachments")


async def instance_of(client: CouchClient, database: str) -> str:
    """What names the database as it was created; the same for all where the server does not tell. Raises
    NotFound.
    """
    info = await retried(client.info, database)
    return str(info.get("instance_start_time", "0"))


async def dump_database(
    place: Place, database: str, path: Path, *, since: str = "0", tell: Tell = lambda *_: None
) -> Dumped:
    """Write every leaf of every document that changed after `since` to a new file.

    Raises CouchError, DatabaseChanged, OSError.
    """
    client = place.client
    instance = await instance_of(client, database)
    writer = await asyncio.to_thread(DumpWriter, path)
    documents = 0
    try:
        while True:
            page = await retried(client.changes, database, since, limit=PAGE)
            wanted = [(change.id, rev) for change in page.changes for rev in change.revs]
            for start in range(0, len(wanted), FETCHED_AT_ONCE):
                await _dump(place, database, wanted[start : start + FETCHED_AT_ONCE], writer)
                tell(documents, page.pending, writer.content_bytes)
            documents += len(page.changes)
            since = page.last_seq
            tell(documents, page.pending, writer.content_bytes)
            if not page.changes:
                break
        await _check_same(client, database, instance)
        return Dumped(documents, since, instance, await asyncio.to_thread(writer.finish))
    except BaseException:
        writer.abandon()
        raise


async def _check_same(client: CouchClient, database: str, instance: str) -> None:
    if await instance_of(client, database) != instance:
        raise DatabaseChanged(f"{database} was recreated or put back while it was read")


async def _dump(place: Place, database: str, wanted: Sequence[tuple[str, str]], writer: DumpWriter) -> None:
    inline: list[tuple[str, str]] = []
    held = 0
    async for leaf in fetched(place.client, database, wanted, {"revs": "true", "latest": "true"}):
        size = attached_bytes(leaf.body)
        if size is None:
            await asyncio.to_thread(writer.leaf, leaf.body)
        elif size > INLINE_BYTES:
            await _dump_large(place, database, leaf, writer)
        else:
            if inline and held + size > _INLINE_AT_ONCE:
                await _dump_inline(place.client, database, inline, writer)
                inline, held = [], 0
            inline.append((leaf.id, leaf.rev))
            held += size
    await _dump_inline(place.client, database, inline, writer)


async def _dump_inline(
    client: CouchClient, database: str, wanted: Sequence[tuple[str, str]], writer: DumpWriter
) -> None:
    query = {"revs": "true", "latest": "true", "attachments": "true"}
    async for leaf in fetched(client, database, wanted, query):
        await asyncio.to_thread(writer.leaf, leaf.body)


async def _dump_large(place: Place, database: str, leaf: Leaf, writer: DumpWriter) -> None:
    # Through a file: its length has to be known, and a body that breaks off must leave nothing in the dump.
    with tempfile.TemporaryFile() as body:
        try:
            content_type = await retried(_spool, place, database, leaf, body)
        except NotFound:
            await _check_gone(place.client, database, {(leaf.id, leaf.rev)})
            return
        body.seek(0)
        await asyncio.to_thread(writer.large_leaf, leaf.body, content_type, body)


async def _spool(place: Place, database: str, leaf: Leaf, body: BinaryIO) -> str:
    body.seek(0)
    body.truncate()
    document = Fetched(leaf.id, leaf.rev, b"", has_attachments=True)
    async with place.peer(database).open_document(document, ()) as (content_type, pieces):
        async for piece in pieces:
            body.write(piece)
    return content_type


async def fetched(
    client: CouchClient, database: str, wanted: Sequence[tuple[str, str]], query: dict[str, Any]
) -> AsyncIterator[Leaf]:
    """The revisions that are there, each once, in answers of bounded size. Raises CouchError."""
    if not wanted:
        return
    alone = len(wanted) == 1
    most = None if alone else MOST_BYTES_AT_ONCE
    try:
        leaves = await retried(_given, client, database, wanted, most, query)
    except TooLarge:
        if alone:
            raise
        half = len(wanted) // 2
        for some in (wanted[:half], wanted[half:]):
            async for leaf in fetched(client, database, some, query):
                yield leaf
        return
    told = set()
    for leaf in leaves:
        if (leaf.id, leaf.rev) not in told:
            told.add((leaf.id, leaf.rev))
            yield leaf


async def _given(
    client: CouchClient,
    database: str,
    wanted: Sequence[tuple[str, str]],
    most: int | None,
    query: dict[str, Any],
) -> list[Leaf]:
    leaves = await client.bulk_get(database, wanted, most_bytes=most, query=query)
    await _check_gone(client, database, set(wanted) - {(leaf.id, leaf.rev) for leaf in leaves})
    return leaves


async def _check_gone(client: CouchClient, database: str, absent: AbstractSet[tuple[str, str]]) -> None:
    """Raises Unavailable where the feed names one of these as a leaf: it is there, and was not given."""
    if not absent:
        return
    for change in await client.changes_of(database, sorted({doc_id for doc_id, _ in absent})):
        if unread := [rev for rev in change.revs if (change.id, rev) in absent]:
            raise Unavailable(f"{change.id} {unread[0]} is named, and cannot be read just now")


def attached_bytes(body: bytes) -> int | None:
    """Size of a leaf's attachments, told by their stubs; None where it has none."""
    if b'"_attachments"' not in body:
        return None
    stubs = msgspec.json.decode(body, type=_WithStubs).attachments
    return sum(stub.length for stub in stubs.values()) if stubs else None

"""Pushing documents into a database as a replicating client does: ask what is missing, send only that.

    documents ──▶ batches ──▶ _revs_diff ──▶ _bulk_docs (new_edits=false) ──▶ what was stored, known, refused

A document without a revision gets its first one, named by its content: pushing the same file again, or
going on after an interruption, finds everything there already and sends nothing twice. An answer that was
lost is asked for again, a bounded number of times; the second `_revs_diff` tells what the first try had
stored.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec

from replication.client import CouchClient, NotWritten
from replication.errors import BadRequest, Unavailable

BATCH_DOCUMENTS = 100
BATCH_BYTES = 8 * 1024 * 1024
ATTEMPTS = 6
"""Tries of one batch before its failure is the caller's; the waits between them add up to about 15 s."""


class Outgoing(msgspec.Struct, frozen=True):
    """A document ready to be pushed: JSON with `_id`, `_rev` and `_revisions`."""

    id: str
    rev: str
    json: bytes


class Pushed(msgspec.Struct, frozen=True):
    """What became of one batch."""

    stored: tuple[Outgoing, ...]
    known: tuple[Outgoing, ...]
    refused: tuple[NotWritten, ...]


class _Identity(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    rev: str | None = msgspec.field(default=None, name="_rev")


def outgoing(text: bytes) -> Outgoing:
    """A document from its JSON text. Raises BadRequest when it is none, or has no `_id`."""
    text = text.strip()
    try:
        identity = msgspec.json.decode(text, type=_Identity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(str(error)) from error
    if identity.rev is not None:
        return Outgoing(identity.id, identity.rev, text)
    rev_id = hashlib.md5(text, usedforsecurity=False).hexdigest()
    front = msgspec.json.encode({"_rev": f"1-{rev_id}", "_revisions": {"start": 1, "ids": [rev_id]}})
    return Outgoing(identity.id, f"1-{rev_id}", front[:-1] + b"," + text[1:])


def batches(
    documents: Iterable[Outgoing], *, count: int = BATCH_DOCUMENTS, size: int = BATCH_BYTES
) -> Iterator[tuple[Outgoing, ...]]:
    """Documents in batches of at most `count`, and of about `size` bytes."""
    batch: list[Outgoing] = []
    held = 0
    for document in documents:
        if batch and (len(batch) >= count or held + len(document.json) > size):
            yield tuple(batch)
            batch, held = [], 0
        batch.append(document)
        held += len(document.json)
    if batch:
        yield tuple(batch)


async def push_batch(
    client: CouchClient,
    database: str,
    batch: Sequence[Outgoing],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Pushed:
    """Push one batch, again after a failure that may pass. Raises the last CouchError."""
    for attempt in range(ATTEMPTS):
        try:
            return await _push_once(client, database, batch)
        except Unavailable:
            if attempt == ATTEMPTS - 1:
                raise
            await sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


async def _push_once(client: CouchClient, database: str, batch: Sequence[Outgoing]) -> Pushed:
    revs: dict[str, list[str]] = {}
    for document in batch:
        revs.setdefault(document.id, []).append(document.rev)
    diff = await client.revs_diff(database, revs)
    missing = [doc for doc in batch if doc.id in diff and doc.rev in diff[doc.id].missing]
    known = tuple(doc for doc in batch if doc not in missing)
    if not missing:
        return Pushed((), known, ())
    refused = await client.push(database, [document.json for document in missing])
    ids = {row.id for row in refused}
    return Pushed(tuple(doc for doc in missing if doc.id not in ids), known, tuple(refused))

"""Pushing documents into a database as a replicating client does: ask what is missing, send only that.

    documents ──▶ batches ──▶ _revs_diff ──▶ _bulk_docs (new_edits=false) ──▶ what was stored, known, refused

A document without a revision gets its first one, named by its content: pushing the same file again, or
going on after an interruption, finds everything there already and sends nothing twice.

    what happens                                   what follows
    -------------------------------------------    ------------------------------------------------------
    no answer, or one that says "not now"          the batch again, a bounded number of times; the second
                                                   `_revs_diff` tells what the first try had stored
    the request is refused for its size or for     the batch in halves, down to the one document, which is
    what is in it                                  then refused by itself; the others are stored
    any other failure                              the caller's
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec

from replication.client import CouchClient, NotWritten
from replication.errors import BadRequest, CouchError, TooLarge, Unavailable
from replication.wire.decode import check_utf8, decode_document

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
    """What became of one batch: each of its documents is in one of the three."""

    stored: tuple[Outgoing, ...] = ()
    known: tuple[Outgoing, ...] = ()
    refused: tuple[NotWritten, ...] = ()

    def and_also(self, other: "Pushed") -> "Pushed":
        """Both outcomes as one."""
        return Pushed(self.stored + other.stored, self.known + other.known, self.refused + other.refused)


class _Identity(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    rev: str | None = msgspec.field(default=None, name="_rev")


def outgoing(text: bytes) -> Outgoing:
    """A document from its JSON text. Raises BadRequest when it is none, or has no `_id`."""
    text = text.strip()
    try:
        identity = msgspec.json.decode(text, type=_Identity)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(str(error)) from error
    # Found here it is one bad line; found by the server it is a refused request.
    check_utf8(text)
    decode_document(text)
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
    """Push one batch; see this module's table. Raises the last CouchError."""
    for attempt in range(ATTEMPTS):
        try:
            return await _push_once(client, database, batch)
        except Unavailable:
            if attempt == ATTEMPTS - 1:
                raise
            await sleep(0.5 * 2**attempt)
        except (TooLarge, BadRequest) as error:
            if len(batch) == 1:
                return Pushed(refused=(_refused(batch[0], error),))
            half = len(batch) // 2
            first = await push_batch(client, database, batch[:half], sleep=sleep)
            return first.and_also(await push_batch(client, database, batch[half:], sleep=sleep))
    raise AssertionError("unreachable")


async def _push_once(client: CouchClient, database: str, batch: Sequence[Outgoing]) -> Pushed:
    revs: dict[str, list[str]] = {}
    for document in batch:
        revs.setdefault(document.id, []).append(document.rev)
    diff = await client.revs_diff(database, revs)
    missing = {(doc_id, rev) for doc_id, found in diff.items() for rev in found.missing}
    known = tuple(doc for doc in batch if (doc.id, doc.rev) not in missing)
    sent = [doc for doc in batch if (doc.id, doc.rev) in missing]
    if not sent:
        return Pushed(known=known)
    refused = await client.push(database, [document.json for document in sent])
    # CouchDB names the document alone, where it refuses for all of its revisions.
    named = {(row.id, row.rev) for row in refused}
    stored = tuple(doc for doc in sent if not {(doc.id, doc.rev), (doc.id, "")} & named)
    return Pushed(stored, known, tuple(refused))


def _refused(document: Outgoing, error: CouchError) -> NotWritten:
    return NotWritten(document.id, document.rev, error.error, error.reason)

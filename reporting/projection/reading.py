"""From a page of changes to a batch: which bodies are fetched, and where the batch ends.

A page says which leaves each document has, not what is in them. Documents whose leaves Postgres has recorded
already (a site read again from its start, a change seen twice) cost no body. Of the others the bodies are
fetched a few at a time until the batch is large enough in bytes: sessions run from 8 kB to 64 MB, so a number
of documents says nothing about memory. What was not reached is read again from the position of the last
document that was.

How large a body is shows only when it comes. What is asked for at once is guessed from the mean of those
before; where the guess is so wrong that the feed gives up, half as many are asked for, down to one.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from replication.values import Change, ChangesPage
from reporting.documents.text import key_text
from reporting.errors import BodiesTooLarge
from reporting.projection.batch import Batch, Checkpoint, FedDocument, Recorded, spell_revs
from reporting.projection.feed import SiteFeed

# Before the first body of a batch is there to go by.
_GUESSED_BODY_BYTES: Final = 1_000_000

# What one request for bodies may ask for, however small the bodies are.
_MOST_BODIES_AT_ONCE: Final = 64


class Limits(NamedTuple):
    """How large a batch may become: changes in a page, and bytes of bodies after which the batch ends."""

    changes: int = 200
    body_bytes: int = 16_000_000


async def read_batch(
    feed: SiteFeed,
    checkpoint: Checkpoint,
    page: ChangesPage,
    recorded: Mapping[str, Recorded],
    limits: Limits,
) -> Batch:
    """The batch that `page`, read from `checkpoint`, begins with. Raises FeedUnavailable.

    `recorded` is what Postgres knows of the page's documents. Without any change the batch is empty:
    committing it only notes that the feed's end was reached.
    """
    documents: list[FedDocument] = []
    taken = bodies = body_bytes = 0
    most_at_once = _MOST_BODIES_AT_ONCE
    while taken < len(page.changes) and body_bytes < limits.body_bytes:
        mean_bytes = body_bytes // bodies if bodies else _GUESSED_BODY_BYTES
        room = (limits.body_bytes - body_bytes) // max(mean_bytes, 1)
        most_bodies = min(max(room, 1), most_at_once)
        chunk = _next_changes(page.changes[taken:], recorded, most_bodies)
        try:
            fetched = await _fetch(feed, checkpoint.database, chunk, recorded)
        except BodiesTooLarge:
            # Of one body nobody says so, and fewer are asked for until this batch ends.
            most_at_once = max(1, most_bodies // 2)
            continue
        documents.extend(fetched)
        bodies += sum(document.leaves is not None for document in fetched)
        body_bytes += sum(len(leaf.body) for document in fetched for leaf in document.leaves or ())
        taken += len(chunk)
    return _end_batch(checkpoint, page, documents, taken)


def _next_changes(
    changes: Sequence[Change], recorded: Mapping[str, Recorded], most_bodies: int
) -> Sequence[Change]:
    """The first changes, among them at most `most_bodies` whose bodies are needed."""
    needed = 0
    for position, change in enumerate(changes):
        if not _is_recorded(change, recorded):
            needed += 1
            if needed > most_bodies:
                return changes[:position]
    return changes


async def _fetch(
    feed: SiteFeed, database: str, changes: Sequence[Change], recorded: Mapping[str, Recorded]
) -> list[FedDocument]:
    """The documents of these changes, with bodies where Postgres has not got them.

    One that has vanished in between is left out: it has nothing to apply, and where it was projected before,
    the next reading from the start marks it.
    """
    wanted = [change for change in changes if not _is_recorded(change, recorded)]
    found = await feed.leaves(database, wanted) if wanted else {}
    documents = []
    for change in changes:
        if _is_recorded(change, recorded):
            documents.append(FedDocument(change.id, spell_revs(change.revs), None))
        elif leaves := tuple(found.get(change.id, ())):
            # The leaves that came, not those the change named: the document may have gone on since.
            documents.append(FedDocument(change.id, spell_revs(leaf.rev for leaf in leaves), leaves))
    return documents


def _is_recorded(change: Change, recorded: Mapping[str, Recorded]) -> bool:
    known = recorded.get(key_text(change.id))
    return known is not None and known.leaf_revs == spell_revs(change.revs)


def _end_batch(
    checkpoint: Checkpoint, page: ChangesPage, documents: Sequence[FedDocument], taken: int
) -> Batch:
    left = len(page.changes) - taken
    return Batch(
        read_from=checkpoint,
        since=page.changes[taken - 1].seq if left else page.last_seq,
        pending=None if page.pending is None else page.pending + left,
        at_end=not left and (page.pending == 0 or not page.changes),
        documents=tuple(documents),
    )

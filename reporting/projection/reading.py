"""From a page of changes to a batch: which bodies are fetched, and where the batch ends.

A page says which leaves each document has, not what is in them. Documents whose leaves Postgres has recorded
already (a site read again from its start, a change seen twice) cost no body. Of the others the bodies are
fetched a few at a time until the batch is large enough in bytes: sessions run from 8 kB to 64 MB, so a number
of documents says nothing about memory. What was not reached is read again from the position of the last
document that was.

In a cluster one copy of a document is ahead of another. The feed of the one names a leaf of which the other
knows nothing yet; or it names an older one where a newer is recorded already.

| what the feed names | what follows |
|---|---|
| a leaf that is not given | the document is `unread`, and read again later, see `replays` |
| a leaf that was replaced meanwhile | what came after it is projected |
| less than is recorded | what is recorded is asked for; it is no leaf any more only where it is not given |

How large a body is shows only when it comes. What is asked for at once is guessed from the mean of those
before; where the guess is so wrong that the feed gives up, half as many are asked for, down to one.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from replication.values import Change, ChangesPage, Leaf, Rev
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
    *,
    again: bool = False,
) -> Batch:
    """The batch that `page`, read from `checkpoint`, begins with. Raises FeedUnavailable.

    `recorded` is what Postgres knows of the page's documents; `again`: bodies are fetched all the same.
    Without any change the batch is empty: committing it only notes that the feed's end was reached.
    """
    spared = {} if again else recorded
    documents: list[FedDocument] = []
    unread: list[str] = []
    taken = bodies = body_bytes = 0
    most_at_once = _MOST_BODIES_AT_ONCE
    while taken < len(page.changes) and body_bytes < limits.body_bytes:
        mean_bytes = body_bytes // bodies if bodies else _GUESSED_BODY_BYTES
        room = (limits.body_bytes - body_bytes) // max(mean_bytes, 1)
        most_bodies = min(max(room, 1), most_at_once)
        chunk = _next_changes(page.changes[taken:], spared, most_bodies)
        try:
            fetched = await _fetch(feed, checkpoint.database, chunk, recorded, spared)
        except BodiesTooLarge:
            # Of one body nobody says so, and fewer are asked for until this batch ends.
            most_at_once = max(1, most_bodies // 2)
            continue
        documents.extend(fetched)
        given = {document.id for document in fetched}
        unread.extend(key_text(change.id) for change in chunk if change.id not in given)
        bodies += sum(document.leaves is not None for document in fetched)
        body_bytes += sum(len(leaf.body) for document in fetched for leaf in document.leaves or ())
        taken += len(chunk)
    return _end_batch(checkpoint, page, documents, taken)._replace(unread=tuple(unread))


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
    feed: SiteFeed,
    database: str,
    changes: Sequence[Change],
    recorded: Mapping[str, Recorded],
    spared: Mapping[str, Recorded],
) -> list[FedDocument]:
    """The documents of these changes, with bodies where they are not spared: Postgres has them.

    One that is not given is left out: it has nothing to apply now.
    """
    wanted = [change for change in changes if not _is_recorded(change, spared)]
    found = {doc_id: tuple(leaves) for doc_id, leaves in (await _leaves(feed, database, wanted)).items()}
    await _add_not_replaced(feed, database, found, recorded)
    documents = []
    for change in changes:
        if _is_recorded(change, spared):
            documents.append(FedDocument(change.id, spell_revs(change.revs), None))
        elif leaves := found.get(change.id):
            # The leaves that came, not those the change named: the document may have gone on since.
            documents.append(FedDocument(change.id, spell_revs(leaf.rev for leaf in leaves), leaves))
    return documents


async def _leaves(feed: SiteFeed, database: str, changes: Sequence[Change]) -> Mapping[str, Sequence[Leaf]]:
    return await feed.leaves(database, changes) if changes else {}


async def _add_not_replaced(
    feed: SiteFeed, database: str, found: dict[str, tuple[Leaf, ...]], recorded: Mapping[str, Recorded]
) -> None:
    """Add those recorded leaves, if they are there, that a copy which is behind did not name.

    One of each document at a time: that one was purged says nothing of the next.
    """
    doubtful = {doc_id: _not_replaced(doc_id, leaves, recorded) for doc_id, leaves in found.items()}
    while doubtful := {doc_id: revs for doc_id, revs in doubtful.items() if revs}:
        asked = [Change("", doc_id, revs[:1]) for doc_id, revs in doubtful.items()]
        for doc_id, leaves in (await _leaves(feed, database, asked)).items():
            there = {leaf.rev for leaf in found[doc_id]}
            found[doc_id] += tuple(leaf for leaf in leaves if leaf.rev not in there)
        doubtful = {doc_id: revs[1:] for doc_id, revs in doubtful.items()}


def _not_replaced(doc_id: str, leaves: Sequence[Leaf], recorded: Mapping[str, Recorded]) -> tuple[str, ...]:
    """The recorded leaves that none of these can descend from: all are at their position, or before it."""
    known = recorded.get(key_text(doc_id))
    if known is None:
        return ()
    there = {leaf.rev for leaf in leaves}
    newest = max(Rev.parse(rev).pos for rev in there)
    return tuple(rev for rev in known.leaf_revs if rev not in there and _position(rev) >= newest)


def _position(rev: str) -> int:
    """0 for what is spelled otherwise than it is stored: it cannot be asked for."""
    try:
        return Rev.parse(rev).pos
    except ValueError:
        return 0


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

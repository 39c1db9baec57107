"""One batch of changes of one site: what was read, from where, and what becomes of it.

A batch is bound to the checkpoint it was read from. Between reading and committing, another projector may
have gone on, Postgres may have been restored, a paused process may wake up hours later: the transaction that
applies the batch compares the checkpoint row with `read_from` and does nothing when they differ.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from replication.values import Leaf
from reporting.documents.kinds import Invalid
from reporting.documents.text import key_text


class Checkpoint(NamedTuple):
    """How far a site's feed has been projected: the row of `checkpoints`."""

    site: str
    database: str
    epoch: str
    """Names one reading of the feed from its start."""
    batch: int
    """Number of the last committed batch of this epoch; 0 before the first."""
    since: str
    rereading: bool
    """True until the epoch has reached the feed's end once."""


class FedDocument(NamedTuple):
    """A document as the feed shows it. `leaves` is None where Postgres has these very leaves already."""

    id: str
    leaf_revs: tuple[str, ...]
    """All leaf revisions as rows spell them, deleted ones too, sorted: equal means no-op."""
    leaves: tuple[Leaf, ...] | None

    @property
    def key(self) -> str:
        """The id as rows spell it."""
        return key_text(self.id)

    @property
    def is_deleted(self) -> bool:
        """Every leaf is a deletion."""
        return self.leaves is not None and all(leaf.deleted for leaf in self.leaves)


class Batch(NamedTuple):
    """Changes of one site in feed order, to be committed together with the position after them."""

    read_from: Checkpoint
    since: str
    """Feed position after the last document."""
    pending: int | None
    """Changes after that position when it was read; None where unknown."""
    at_end: bool
    """Nothing was left to read after this batch."""
    documents: tuple[FedDocument, ...]
    replayed: tuple[tuple[str, int], ...] = ()
    """Of a batch of replays: the keys and tickets that are done with it. Its documents are written whatever
    is recorded of them, and it does not move on in the feed.
    """
    read_at: datetime | None = None
    """Postgres's clock before the page was read; None: not known."""
    unread: tuple[str, ...] = ()
    """Keys of documents whose leaves the feed named and did not give."""

    @property
    def body_bytes(self) -> int:
        """Bytes of all bodies."""
        return sum(len(leaf.body) for document in self.documents for leaf in document.leaves or ())

    @property
    def advances_to(self) -> Checkpoint:
        """The checkpoint that committing this batch leaves."""
        before = self.read_from
        return before._replace(
            batch=before.batch + 1, since=self.since, rereading=before.rereading and not self.at_end
        )


class State(StrEnum):
    """What became of a document, as `documents.state` and receipts say it."""

    PROJECTED = "projected"
    CONFLICTED = "conflicted"
    """Projected as the union of several live leaves."""
    QUARANTINED = "quarantined"
    """No live leaf is valid: there are no rows."""
    STORED = "stored"
    """Of a type that is not judged."""
    DELETED = "deleted"
    """Every leaf is a deletion: rows stay, marked."""


class Recorded(NamedTuple):
    """What the last batch that changed a document has left in `documents`."""

    leaf_revs: tuple[str, ...]
    state: State
    epoch: str
    source_missing: bool


class Receipt(NamedTuple):
    """What the ingest log knows of one revision that a tablet sent."""

    received_at: datetime
    request_id: str
    normalised: str | None
    """What the gateway had to change so that it could be stored; None: stored as sent."""


class QuarantinedLeaf(NamedTuple):
    """One leaf revision that is not projected, and why."""

    rev: str
    reason: Invalid


def session_ids(keys: Iterable[str]) -> list[str]:
    """The `id` in `sessions` of each key that is a session's; other documents have none."""
    return [key.removeprefix("session:") for key in keys if key.startswith("session:")]


def spell_revs(revs: Iterable[str]) -> tuple[str, ...]:
    """Leaf revisions as `documents.leaves` holds them: spelled as rows spell keys, sorted."""
    return tuple(sorted(key_text(rev) for rev in revs))


class Outcome(NamedTuple):
    """What a committed batch made of one document."""

    id: str
    rev: str
    """The winning revision."""
    state: State
    quarantined: tuple[QuarantinedLeaf, ...]
    request_ids: Mapping[str, str]
    """By revision, of those that a tablet sent: the request that brought it."""


class Applied(NamedTuple):
    """A committed batch."""

    checkpoint: Checkpoint
    outcomes: tuple[Outcome, ...]
    """Of the documents that changed, in feed order."""
    unchanged: int
    """Documents whose leaves were already projected."""
    asks_for_replays: bool = False
    """It may have had other documents projected again."""

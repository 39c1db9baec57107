"""What a site database has, compared with what Postgres has recorded of it: a proof, or the gaps.

"The sequence says caught up" proves nothing: rows have been missing behind a sequence that was. So the sets
of (id, leaves) are compared themselves, while tablets push and the projector works, and nothing that is
merely on its way may look like a gap.

| difference | how it is told from one that is on its way |
|---|---|
| recorded otherwise, or not at all | it lies before the projector's position, and stays when asked again |
| recorded, and not shown by the feed | looked up by its id: not there |
| rows and record do not fit | one statement sees one moment; a batch commits as a whole |

The first of these hangs on an order: the projector's position is read first, then what comes after it; of a
document that differs the leaves are looked up again, then its record, then once more what came since. What
was not among all that was in front of the projector, so its record must be right.

A full proof reads the whole feed once, folded into buckets (see `proof`), and a second time only when buckets
differ. An incremental one compares, document by document, what changed since the last sound proof of the same
epoch. What is pending lies after `update_seq`, and is compared the next time.

| what happens | outcome |
|---|---|
| it is killed | no proof; repairs that were made stand by themselves |
| the site begins to be read from its start meanwhile | NotFollowed: no proof |
| a look at the site database fails | FeedUnavailable: no proof, and nothing counts as gone |
| the site database is not there any more | `gone`, all of them |
| it is repaired twice, or by two | a replay too many, which changes nothing |
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from replication.values import Change
from reporting.documents.text import key_text
from reporting.errors import NotFollowed
from reporting.projection import proving, row_proof
from reporting.projection.apply import recorded_documents
from reporting.projection.batch import Checkpoint, Recorded, State, spell_revs
from reporting.projection.checkpoint import load_checkpoint
from reporting.projection.connections import Lease
from reporting.projection.feed import START, SiteDatabase, SiteFeed
from reporting.projection.followed import followed_checkpoint
from reporting.projection.proof import Buckets, Counts, Proof, bucket_of
from reporting.projection.repair import Repairs, mark_site_gone
from reporting.projection.replays import look_up_keys

_PAGE: Final = 10_000
_FOUND_AT_MOST: Final = 10_000
"""Keys of rows that do not fit, of a site: a repair of more than that is run again."""

Tell = Callable[[int, int], None]
"""Is told how many changes are compared, and of how many."""


async def reconcile_site(
    feed: SiteFeed,
    lease: Lease,
    database: SiteDatabase,
    *,
    full: bool,
    repair: bool,
    now: Callable[[], datetime],
    tell: Tell,
) -> Proof:
    """Prove one site, and record the proof. `full`: whether or not there is a proof to go on from.

    Raises NotFollowed, FeedUnavailable, and what the driver raises; there is no proof then.
    """
    checkpoint = await followed_checkpoint(feed, lease, database)
    if checkpoint is None:
        raise NotFollowed(database.site)
    since = None if full else await lease.run(_last_sound_proof, checkpoint)
    proof = Proof(
        site=database.site,
        kind="full" if since is None else "incremental",
        started_at=now(),
        epoch=checkpoint.epoch,
        update_seq=checkpoint.since,
        counts=Counts(),
    )
    comparison = _Comparison(feed, lease, checkpoint, proof, tell)
    await comparison.compare(since)
    ends_at = await lease.run(load_checkpoint, database.site)
    if ends_at is None or ends_at.epoch != checkpoint.epoch:
        raise NotFollowed(database.site)
    if repair:
        repairs = Repairs(feed, lease, database)
        await repairs.replay(comparison.missing)
        await repairs.mark_gone(comparison.gone)
        await repairs.mend({*comparison.double, *comparison.incomplete} - comparison.missing.keys())
        proof.repaired = repairs.made
    await lease.run(record_proof, proof)
    return proof


async def reconcile_lost_site(lease: Lease, site: str, *, repair: bool, now: Callable[[], datetime]) -> Proof:
    """Prove a site that has a checkpoint, and no site database any more: all its documents are gone."""
    checkpoint = await lease.run(load_checkpoint, site)
    proof = Proof(
        site=site,
        kind="full",
        started_at=now(),
        epoch=checkpoint.epoch if checkpoint else "",
        update_seq=START,
        counts=Counts(),
    )
    double: list[str] = []
    incomplete: list[str] = []
    await lease.run(count_rows, proof, double, incomplete, rereading=False)
    for state in ("projected", "conflicted", "quarantined", "waived", "stored", "deleted"):
        proof.newly_gone += getattr(proof.counts, state)
        setattr(proof.counts, state, 0)
    proof.counts.gone += proof.newly_gone
    if repair:
        proof.repaired = await lease.run(mark_site_gone, site)
    await lease.run(record_proof, proof)
    return proof


def recorded_sites(connection: psycopg.Connection) -> set[str]:
    """The sites that were ever projected."""
    with connection.transaction():
        return {site for (site,) in connection.execute(proving.RECORDED_SITES)}


class _Comparison:
    """One comparison of one site; what it finds is counted in the proof."""

    def __init__(
        self, feed: SiteFeed, lease: Lease, checkpoint: Checkpoint, proof: Proof, tell: Tell
    ) -> None:
        self._feed = feed
        self._lease = lease
        self._checkpoint = checkpoint
        self._proof = proof
        self._tell = tell
        self._seen: set[int] = set()
        """Hashes of the documents that the feed has shown, of buckets that differ."""
        self._unread: set[int] = set()
        """Hashes of the documents that have changed after the projector's position."""
        self._unread_to = checkpoint.since
        self._pending: set[int] = set()
        self.missing: dict[str, None] = {}
        self.gone: dict[str, State] = {}
        self.double: list[str] = []
        self.incomplete: list[str] = []

    async def compare(self, since: str | None) -> None:
        """All of the site, or what has changed after `since`."""
        await self._read_unread()
        if since is None:
            differing = await self._fold()
            if differing:
                await self._compare_buckets(frozenset(differing))
        else:
            async for changes in self._pages(since, count=True):
                await self._compare_changes(changes)
        await self._lease.run(_count_rows, self._checkpoint, self._proof, self.double, self.incomplete)
        self._conclude()

    async def _fold(self) -> list[int]:
        """The buckets that differ."""
        recorded = await self._lease.run(_recorded_buckets, self._checkpoint)
        shown = Buckets()
        async for changes in self._pages(START, count=True):
            for change in changes:
                shown.add(key_text(change.id), spell_revs(change.revs))
        return shown.differing(recorded)

    async def _compare_buckets(self, differing: frozenset[int]) -> None:
        async for changes in self._pages(START, count=False):
            await self._compare_changes(
                [change for change in changes if bucket_of(key_text(change.id)) in differing]
            )
        after = ""
        while recorded := await self._lease.run(_recorded_in, self._checkpoint, differing, after):
            after = recorded[-1][0]
            await self._find_gone({key: state for key, state in recorded if hash(key) not in self._seen})

    async def _compare_changes(self, changes: Sequence[Change]) -> None:
        ids = {key_text(change.id): change.id for change in changes}
        self._seen.update(map(hash, ids))
        shown = {key_text(change.id): spell_revs(change.revs) for change in changes}
        suspects = await self._differing(shown)
        self._pending.update(hash(key) for key in suspects if hash(key) in self._unread)
        suspects = [key for key in suspects if hash(key) not in self._unread]
        if not suspects:
            return
        # The order counts: what is there, then what is recorded, then what came since.
        there = await self._feed.look_up(self._checkpoint.database, [ids[key] for key in suspects])
        found = {key_text(change.id): spell_revs(change.revs) for change in there}
        still = await self._differing({key: found[key] for key in suspects if key in found})
        await self._read_unread()
        for key in still:
            if hash(key) in self._unread:
                self._pending.add(hash(key))
            else:
                self.missing[key] = None

    async def _differing(self, shown: dict[str, tuple[str, ...]]) -> list[str]:
        recorded = await self._lease.run(recorded_documents, self._checkpoint.site, list(shown))
        return [key for key, revs in shown.items() if not _agrees(recorded.get(key), revs)]

    async def _find_gone(self, unseen: dict[str, str]) -> None:
        if unseen:
            there = await look_up_keys(self._feed, self._checkpoint.database, unseen)
            found = {key_text(change.id) for change in there}
            self.gone |= {key: State(state) for key, state in unseen.items() if key not in found}

    async def _read_unread(self) -> None:
        async for changes in self._pages(self._unread_to, count=False):
            self._unread.update(hash(key_text(change.id)) for change in changes)
            self._unread_to = changes[-1].seq

    async def _pages(self, since: str, *, count: bool) -> AsyncIterator[Sequence[Change]]:
        """The feed after `since`, to its end."""
        counts = self._proof.counts
        pending: int | None = None
        while pending != 0:
            page = await self._feed.read(self._checkpoint.database, since, _PAGE)
            if not page.changes:
                return
            if count:
                counts.documents += len(page.changes)
                counts.leaves += sum(len(change.revs) for change in page.changes)
                self._tell(counts.documents, counts.documents + (page.pending or 0))
            yield page.changes
            since, pending = page.last_seq, page.pending

    def _conclude(self) -> None:
        proof, counts = self._proof, self._proof.counts
        counts.pending, counts.missing = len(self._pending), len(self.missing)
        for state in self.gone.values():
            counted_as = state.value
            setattr(counts, counted_as, max(0, getattr(counts, counted_as) - 1))
        counts.gone += len(self.gone)
        proof.newly_gone = len(self.gone)
        found: dict[str, Collection[str]] = {
            "missing": self.missing,
            "double": self.double,
            "incomplete": self.incomplete,
            "gone": self.gone,
        }
        for counted_as, keys in found.items():
            if keys:
                proof.name(counted_as, keys)


def _agrees(recorded: Recorded | None, revs: tuple[str, ...]) -> bool:
    """Whether the record says the same: the same leaves, and not that the document is gone."""
    if recorded is None or recorded.leaf_revs != revs:
        return False
    return not recorded.source_missing or recorded.state is State.DELETED


def _about(checkpoint: Checkpoint) -> dict[str, object]:
    return {"site": checkpoint.site, "epoch": checkpoint.epoch, "rereading": checkpoint.rereading}


def _last_sound_proof(connection: psycopg.Connection, checkpoint: Checkpoint) -> str | None:
    row = connection.execute(proving.LAST_SOUND_PROOF, _about(checkpoint)).fetchone()
    return row[0] if row else None


def _recorded_buckets(connection: psycopg.Connection, checkpoint: Checkpoint) -> Buckets:
    buckets = Buckets()
    for row in connection.execute(proving.BUCKETS, _about(checkpoint)):
        buckets.set(*row)
    return buckets


def _recorded_in(
    connection: psycopg.Connection, checkpoint: Checkpoint, buckets: frozenset[int], after: str
) -> list[tuple[str, str]]:
    parameters = {**_about(checkpoint), "buckets": sorted(buckets), "after": after, "limit": _PAGE}
    return connection.execute(proving.RECORDED_IN_BUCKETS, parameters).fetchall()


def _count_rows(
    connection: psycopg.Connection,
    checkpoint: Checkpoint,
    proof: Proof,
    double: list[str],
    incomplete: list[str],
) -> None:
    count_rows(connection, proof, double, incomplete, rereading=checkpoint.rereading)


def count_rows(
    connection: psycopg.Connection, proof: Proof, double: list[str], incomplete: list[str], *, rereading: bool
) -> None:
    """Count what is recorded, by state, and the rows that do not fit; these documents are added to the lists.

    A full proof counts the trials of every task run.
    """
    parameters = {
        "site": proof.site,
        "epoch": proof.epoch,
        "rereading": rereading,
        "limit": _FOUND_AT_MOST,
    }
    counts, is_full = proof.counts, proof.kind == "full"
    with connection.transaction():
        connection.execute(row_proof.JOIN_BY_HASH)
        for state, n in connection.execute(proving.STATES, parameters):
            setattr(counts, state, n)
        statement = row_proof.DOUBLE_WITH_TRIALS if is_full else row_proof.DOUBLE
        for key, counts.double in connection.execute(statement, parameters).fetchall():
            double.append(key)
        statement = row_proof.INCOMPLETE_WITH_TRIALS if is_full else row_proof.INCOMPLETE
        for key, counts.incomplete in connection.execute(statement, parameters).fetchall():
            incomplete.append(key)


def record_proof(connection: psycopg.Connection, proof: Proof) -> None:
    """Store the proof; it gets its end."""
    parameters = {
        "site": proof.site,
        "kind": proof.kind,
        "started_at": proof.started_at,
        "epoch": proof.epoch,
        "update_seq": proof.update_seq,
        "counts": Jsonb(msgspec.to_builtins(proof.counts) | {"examples": proof.examples}),
        "missing": proof.counts.missing,
        "repaired": proof.repaired,
    }
    with connection.transaction():
        row = connection.execute(proving.RECORD_PROOF, parameters).fetchone()
    proof.finished_at = row[0] if row else None

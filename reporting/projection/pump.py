"""Every site's changes into rows, for as long as the process runs.

One turn of a site is one batch: check the mark, read a page of changes, fetch the bodies that Postgres has
not got, write the mark, commit. The order of the last two is what makes a rewind noticeable (see `rewind`),
and the commit carries rows and checkpoint together, so a crash between any two steps costs a repetition and
nothing else.

| what happens | outcome |
|---|---|
| a site has much to read | a batch a turn; other sites' turns come in between |
| a site database fails, or hangs | that site backs off by itself; what fails holds few of the places |
| hundreds of sites are idle | each is looked at now and then; a hint names those that changed |
| hints are lost, or there are none | every site is polled all the same, more often without hints |
| other projectors run | each has its share of the sites, see `sharing`; without locks it has none |
| the projector is stopped or killed | the batch in flight commits as a whole or is read again |
| Postgres goes away | turns wait for it; checkpoints are read again when it is back |
| another projector went on, or Postgres was restored | the batch is dropped, the checkpoint read again |
| a site database was recreated or restored | noticed at the next turn, idle or not: read from the start |
"""

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Final

import psycopg
import structlog

from replication.values import ChangesPage
from reporting.consent.flagging import ConsentChanges
from reporting.documents.text import key_text
from reporting.documents.upcast import CONTRACT, Contract
from reporting.errors import FeedUnavailable, SourceReplaced, StaleBatch
from reporting.projection.apply import apply_batch, recorded_documents
from reporting.projection.batch import Applied, Batch, Checkpoint, State
from reporting.projection.checkpoint import load_checkpoint, start_epoch
from reporting.projection.connections import Connections, Lease
from reporting.projection.feed import Mark, SiteDatabase, SiteFeed
from reporting.projection.ownership import SiteLocks
from reporting.projection.proof_schedule import ProofSchedule
from reporting.projection.reading import Limits, read_batch
from reporting.projection.references import Resolver
from reporting.projection.replays import load_replays, read_replays, sites_with_replays
from reporting.projection.rewind import is_continued
from reporting.projection.roster import Roster, Site
from reporting.projection.rules import replay_judged_by_older_rules, replay_stored_without_rows
from reporting.projection.turns import Turns
from reporting.projection.watermarks import Sighting, read_clock
from reporting.projection.write_ahead import write_ahead

# How long a site database may take over a page of changes, or over one batch's bodies, before that counts as
# a failure of the site: it holds up one of the few places meanwhile.
_PAGE_TIMEOUT_S: Final = 30.0
_BODIES_TIMEOUT_S: Final = 120.0

# Pages are small, so many sites may read one at once; bodies are not.
_PAGES_AT_ONCE: Final = 8

# Of a site whose last turn failed, so that any number that hang leave places to the others.
_DOUBTFUL_PAGES_AT_ONCE: Final = 4

# A batch ends with the document that exceeds its limit; beyond so many limits, that document is large itself.
_LARGE_BATCHES: Final = 1.5

_RESOLVE_INTERVAL_S: Final = 2.0
_REPLAYS_INTERVAL_S: Final = 1.0
# Not only at the start: while an update is rolled out, a projector of the old version may judge once more.
_RULES_INTERVAL_S: Final = 60.0

log = structlog.get_logger()


def random_epoch() -> str:
    """A name that no other reading of any feed has."""
    return uuid.uuid4().hex


class Pump:
    """The projector."""

    def __init__(
        self,
        feed: SiteFeed,
        database_url: str,
        *,
        limits: Limits | None = None,
        sites_at_once: int = 2,
        proofs: ProofSchedule | None = None,
        poll_seconds: float = 2.0,
        look_seconds: float = 2.0,
        new_epoch: Callable[[], str] = random_epoch,
        clock: Callable[[], float] = time.monotonic,
        contract: Contract = CONTRACT,
    ) -> None:
        """`sites_at_once` batches are in memory and in Postgres at a time. Every site is polled at least
        every `poll_seconds`; while the feed hints at changes, every five times as many. Every `look_seconds`
        it is seen whose the sites are. `proofs`: how often sites are proved. `contract` is what documents
        have to be.
        """
        self._feed = feed
        self._limits = limits or Limits()
        self._proofs = proofs
        self._new_epoch = new_epoch
        self._contract = contract
        self._resolver = Resolver()
        self._consent_changes = ConsentChanges()
        self._connections = Connections(database_url, sites_at_once)
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._large = asyncio.Lock()
        self._doubtful_pages = asyncio.Semaphore(_DOUBTFUL_PAGES_AT_ONCE)
        self._doubtful_batches = asyncio.Semaphore(max(1, sites_at_once - 1))
        self._turns = Turns(self._failed, clock=clock, repeated_at_once=(StaleBatch, SourceReplaced))
        self._locks = SiteLocks(database_url)
        self._roster = Roster(
            feed,
            self._locks,
            self._turns,
            self._turn,
            poll_seconds=poll_seconds,
            look_seconds=look_seconds,
            clock=clock,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set. A batch that is then being committed is finished, others dropped."""
        self._roster.begin()
        self._turns.add("references", self._resolve)
        self._turns.add("replays", self._find_replays)
        self._turns.add("rules", self._replay_judged_by_older_rules)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._locks.close)
            stack.push_async_callback(self._connections.close)
            if self._proofs is not None:
                self._turns.add("proofs", self._prove)
                stack.push_async_callback(self._proofs.close)
            await self._turns.run(stop)

    async def drain(self) -> None:
        """Project everything that there is now, one site after the other, whoever else projects.

        Raises the first failure.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._connections.close)
            await self._replay_judged_by_older_rules()
            for database in await self._feed.databases():
                site = Site(database, has_replays=True)
                while await self._project(site, await self._read_clock()):
                    pass
            await self._resolve()

    async def _resolve(self) -> float:
        async with self._connections.lease() as lease:
            resolved = await lease.run(self._resolver)
            resolved += await lease.run(self._consent_changes)
        if resolved:
            log.info("references resolved", flags=resolved)
        return _RESOLVE_INTERVAL_S

    async def _replay_judged_by_older_rules(self) -> float:
        rules_version = self._contract.rules_version
        async with self._connections.lease() as lease:
            asked = await lease.run(replay_judged_by_older_rules, rules_version)
            asked += await lease.run(replay_stored_without_rows)
        if asked:
            log.info("judging again what older rules quarantined", entries=asked, rules_version=rules_version)
        return _RULES_INTERVAL_S

    async def _prove(self) -> float:
        return await self._proofs.turn(self._roster.databases) if self._proofs else math.inf

    async def _find_replays(self) -> float:
        async with self._connections.lease() as lease:
            found = await lease.run(sites_with_replays)
        self._roster.wake_for_replays(found)
        return _REPLAYS_INTERVAL_S

    async def _read_clock(self) -> datetime:
        async with self._connections.lease() as lease:
            return await lease.run(read_clock)

    def _failed(self, name: str, failure: Exception, failures: int, delay: float) -> None:
        _log_failure(name, failure, failures, delay)
        self._roster.note_failure(name, failure, failures, delay)

    async def _turn(self, site: Site) -> float:
        has_more = await self._project(site, self._roster.moment)
        self._roster.note_success(site, rereading=site.checkpoint is not None and site.checkpoint.rereading)
        return 0.0 if has_more else self._roster.until_poll(site)

    async def _project(self, site: Site, moment: datetime | None) -> bool:
        """One batch; answers whether there may be more to read. `moment`: Postgres's clock before it."""
        # Whatever ends this early, the next turn asks Postgres what was committed.
        known, site.checkpoint = site.checkpoint, None
        checkpoint = await self._continue(site, known or await self._load(site.database))
        if site.has_replays and not site.page_is_next:
            # Before it may fail: a replay that always does must not keep the feed from being read.
            site.has_replays, site.page_is_next = False, True
            replayed = await self._replay(site, checkpoint)
            site.has_replays = replayed is not None
            site.checkpoint = replayed or checkpoint
            return True
        site.page_is_next = False
        page = await self._read(site, checkpoint)
        if not page.changes and not checkpoint.rereading:
            site.checkpoint = checkpoint
            site.sighting = None if moment is None else Sighting(checkpoint, moment)
            return site.has_replays
        batch, applied = await self._commit(site, checkpoint, page, moment)
        site.checkpoint = applied.checkpoint
        site.has_replays = site.has_replays or applied.asks_for_replays
        _log_applied(batch, applied)
        return site.has_replays or not batch.at_end

    async def _replay(self, site: Site, checkpoint: Checkpoint) -> Checkpoint | None:
        """Work off the site's oldest replays; the checkpoint after them. None when there are none, or none of
        which the site database gives the content: they wait until somebody looks for replays again.
        """
        async with self._batch_lease(site) as lease:
            replays = await lease.run(load_replays, checkpoint.site)
            if not replays:
                return None
            recorded = await lease.run(recorded_documents, checkpoint.site, [each.key for each in replays])
            async with asyncio.timeout(_BODIES_TIMEOUT_S):
                batch = await read_replays(self._feed, checkpoint, replays, recorded, self._limits)
                if not batch.replayed:
                    return None
                await write_ahead(self._feed, checkpoint)
            applied = await self._apply(lease, batch)
        _log_applied(batch, applied)
        return applied.checkpoint

    async def _load(self, database: SiteDatabase) -> Checkpoint | None:
        async with self._connections.lease() as lease:
            return await lease.run(load_checkpoint, database.site)

    def _page_place(self, site: Site) -> asyncio.Semaphore:
        return self._doubtful_pages if site.is_doubtful else self._pages

    @asynccontextmanager
    async def _batch_lease(self, site: Site) -> AsyncIterator[Lease]:
        """A connection for a batch; one is always left to sites that do not fail."""
        place = self._doubtful_batches if site.is_doubtful else nullcontext()
        async with place, self._connections.lease() as lease:
            yield lease

    async def _continue(self, site: Site, stored: Checkpoint | None) -> Checkpoint:
        """The checkpoint to read on from: the stored one, or that of a new epoch when the feed is another."""
        database = site.database
        async with self._page_place(site), asyncio.timeout(_PAGE_TIMEOUT_S):
            mark = await self._feed.read_mark(database.database)
        if stored is not None and stored.database == database.database and is_continued(mark, stored):
            return stored
        async with self._connections.lease() as lease:
            checkpoint = await lease.run(start_epoch, database, stored, self._new_epoch())
        await self._feed.write_mark(database.database, Mark(checkpoint.epoch, checkpoint.batch))
        log.info(
            "reading site from its start",
            site=database.site,
            epoch=checkpoint.epoch,
            mark=mark,
            checkpoint=stored and Mark(stored.epoch, stored.batch),
        )
        return checkpoint

    async def _read(self, site: Site, checkpoint: Checkpoint) -> ChangesPage:
        async with self._page_place(site), asyncio.timeout(_PAGE_TIMEOUT_S):
            return await self._feed.read(checkpoint.database, checkpoint.since, self._limits.changes)

    async def _commit(
        self, site: Site, checkpoint: Checkpoint, page: ChangesPage, moment: datetime | None
    ) -> tuple[Batch, Applied]:
        # The lease is held from the first body on: it bounds how many batches are in memory.
        async with self._batch_lease(site) as lease:
            keys = [key_text(change.id) for change in page.changes]
            recorded = await lease.run(recorded_documents, checkpoint.site, keys)
            async with asyncio.timeout(_BODIES_TIMEOUT_S):
                batch = await read_batch(self._feed, checkpoint, page, recorded, self._limits)
                await write_ahead(self._feed, checkpoint)
            batch = batch._replace(read_at=moment)
            return batch, await self._apply(lease, batch)

    async def _apply(self, lease: Lease, batch: Batch) -> Applied:
        """Commit it. Judging takes several times the memory of the bodies: large ones wait for each other."""
        if batch.body_bytes <= _LARGE_BATCHES * self._limits.body_bytes:
            return await lease.run(apply_batch, batch, self._contract)
        async with self._large:
            return await lease.run(apply_batch, batch, self._contract)


def _log_failure(name: str, failure: Exception, failures: int, delay: float) -> None:
    about = {"worker": name, "error": str(failure), "failures": failures, "next_try_in_s": delay}
    if isinstance(failure, StaleBatch | SourceReplaced):
        log.info("batch dropped", **about)
    elif isinstance(failure, FeedUnavailable | TimeoutError | psycopg.OperationalError):
        log.warning("turn failed", kind=type(failure).__name__, **about)
    else:
        log.error("turn failed", kind=type(failure).__name__, exc_info=failure, **about)


def _log_applied(batch: Batch, applied: Applied) -> None:
    site = applied.checkpoint.site
    for outcome in applied.outcomes:
        for leaf in outcome.quarantined:
            log.info(
                "document quarantined",
                site=site,
                id=outcome.id,
                rev=leaf.rev,
                state=State.QUARANTINED,
                code=leaf.reason.code,
                path=leaf.reason.path,
                request_id=outcome.request_ids.get(leaf.rev),
            )
        if outcome.state is not State.QUARANTINED:
            log.info(
                "document projected",
                site=site,
                id=outcome.id,
                rev=outcome.rev,
                state=outcome.state,
                request_id=outcome.request_ids.get(outcome.rev),
            )
    log.info(
        "batch committed",
        site=site,
        batch=applied.checkpoint.batch,
        documents=len(batch.documents),
        replayed=len(batch.replayed),
        unchanged=applied.unchanged,
        pending=batch.pending,
    )

"""Every site's changes into rows, for as long as the process runs.

One turn of a site is one batch: check the mark, read a page of changes, fetch the bodies that Postgres has
not got, write the mark, commit. The order of the last two is what makes a rewind noticeable (see `rewind`),
and the commit carries rows and checkpoint together, so a crash between any two steps costs a repetition and
nothing else.

| what happens | outcome |
|---|---|
| a site has much to read | a batch a turn; other sites' turns come in between |
| a site database fails, or hangs | that site backs off by itself |
| the projector is stopped or killed | the batch in flight commits as a whole or is read again |
| Postgres goes away | turns wait for it; checkpoints are read again when it is back |
| another projector went on, or Postgres was restored | the batch is dropped, the checkpoint read again |
| a site database was recreated or restored | noticed at the next turn, idle or not: read from the start |
"""

import asyncio
import math
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
import structlog

from replication.values import ChangesPage
from reporting.documents.text import key_text
from reporting.errors import FeedUnavailable, SourceReplaced, StaleBatch
from reporting.projection.apply import apply_batch, recorded_documents, resolve_references
from reporting.projection.batch import Applied, Batch, Checkpoint, State
from reporting.projection.checkpoint import load_checkpoint, start_epoch
from reporting.projection.connections import Connections, Lease
from reporting.projection.feed import Mark, SiteDatabase, SiteFeed
from reporting.projection.reading import Limits, read_batch
from reporting.projection.replays import load_replays, read_replays, sites_with_replays
from reporting.projection.rewind import is_continued
from reporting.projection.turns import Turns

# How long a site database may take over a page of changes, or over one batch's bodies, before that counts as
# a failure of the site: it holds up one of the few places meanwhile.
_PAGE_TIMEOUT_S: Final = 30.0
_BODIES_TIMEOUT_S: Final = 120.0

# Pages are small, so many sites may read one at once; bodies are not.
_PAGES_AT_ONCE: Final = 8

# A batch ends with the document that exceeds its limit; beyond so many limits, that document is large itself.
_LARGE_BATCHES: Final = 1.5

_RESOLVE_INTERVAL_S: Final = 2.0
_REPLAYS_INTERVAL_S: Final = 1.0

log = structlog.get_logger()


def random_epoch() -> str:
    """A name that no other reading of any feed has."""
    return uuid.uuid4().hex


@dataclass
class _Site:
    database: SiteDatabase
    checkpoint: Checkpoint | None = None
    """As this process committed it; None: to be read from Postgres."""
    has_replays: bool = False
    """There may be documents to project again."""
    page_is_next: bool = False
    """Feed pages and replays take turns, so that neither waits for the other's backlog."""


class Pump:
    """The projector."""

    def __init__(
        self,
        feed: SiteFeed,
        database_url: str,
        *,
        limits: Limits | None = None,
        sites_at_once: int = 2,
        poll_seconds: float = 2.0,
        new_epoch: Callable[[], str] = random_epoch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sites_at_once` batches are in memory and in Postgres at a time. Every site is polled at least
        every `poll_seconds`, sooner when the feed hints at a change.
        """
        self._feed = feed
        self._limits = limits or Limits()
        self._poll_seconds = poll_seconds
        self._new_epoch = new_epoch
        self._connections = Connections(database_url, sites_at_once)
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._large = asyncio.Lock()
        self._sites: dict[str, _Site] = {}
        self._listed = False
        self._turns = Turns(_log_failure, clock=clock, repeated_at_once=(StaleBatch, SourceReplaced))

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set. A batch that is then being committed is finished, others dropped."""
        self._turns.add("site databases", self._watch)
        self._turns.add("references", self._resolve)
        self._turns.add("replays", self._find_replays)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._connections.close)
            await self._turns.run(stop)

    async def drain(self) -> None:
        """Project everything that there is now, one site after the other. Raises the first failure."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._connections.close)
            for database in await self._feed.databases():
                site = _Site(database, has_replays=True)
                while await self._project(site):
                    pass
            await self._resolve()

    async def _watch(self) -> float:
        """Wait until something may have changed, then wake every site: a hint does not say which."""
        if self._listed:
            await self._wait_for_hint()
        databases = await self._feed.databases()
        self._listed = True
        found = {f"site {database.site}": database for database in databases}
        for name in self._sites.keys() - found.keys():
            self._turns.remove(name)
            del self._sites[name]
        self._turns.wake(self._sites)
        for name in found.keys() - self._sites.keys():
            site = self._sites[name] = _Site(found[name])
            self._turns.add(name, partial(self._turn, site))
        return 0.0

    async def _wait_for_hint(self) -> None:
        try:
            await self._feed.wait(self._poll_seconds)
        except FeedUnavailable as failure:
            # Polling does without hints; a feed that has none must not stop it.
            log.warning("no hints of changes", error=str(failure), next_poll_in_s=self._poll_seconds)
            await asyncio.sleep(self._poll_seconds)

    async def _resolve(self) -> float:
        async with self._connections.lease() as lease:
            resolved = await lease.run(resolve_references)
        if resolved:
            log.info("references resolved", flags=resolved)
        return _RESOLVE_INTERVAL_S

    async def _find_replays(self) -> float:
        async with self._connections.lease() as lease:
            found = await lease.run(sites_with_replays)
        for name in {f"site {site}" for site in found} & self._sites.keys():
            self._sites[name].has_replays = True
            self._turns.wake([name])
        return _REPLAYS_INTERVAL_S

    async def _turn(self, site: _Site) -> float:
        return 0.0 if await self._project(site) else math.inf

    async def _project(self, site: _Site) -> bool:
        """One batch; answers whether there may be more to read."""
        # Whatever ends this early, the next turn asks Postgres what was committed.
        known, site.checkpoint = site.checkpoint, None
        checkpoint = await self._continue(site.database, known or await self._load(site.database))
        if site.has_replays and not site.page_is_next:
            replayed = await self._replay(checkpoint)
            site.has_replays, site.page_is_next = replayed is not None, True
            site.checkpoint = replayed or checkpoint
            return True
        site.page_is_next = False
        page = await self._read(checkpoint)
        if not page.changes and not checkpoint.rereading:
            site.checkpoint = checkpoint
            return site.has_replays
        batch, applied = await self._commit(checkpoint, page)
        site.checkpoint = applied.checkpoint
        _log_applied(batch, applied)
        return site.has_replays or not batch.at_end

    async def _replay(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """Work off the site's oldest replays; the checkpoint after them, None when there were none."""
        async with self._connections.lease() as lease:
            replays = await lease.run(load_replays, checkpoint.site)
            if not replays:
                return None
            async with asyncio.timeout(_BODIES_TIMEOUT_S):
                batch = await read_replays(self._feed, checkpoint, replays, self._limits)
                await self._write_ahead(checkpoint)
            applied = await self._apply(lease, batch)
        _log_applied(batch, applied)
        return applied.checkpoint

    async def _load(self, database: SiteDatabase) -> Checkpoint | None:
        async with self._connections.lease() as lease:
            return await lease.run(load_checkpoint, database.site)

    async def _continue(self, database: SiteDatabase, stored: Checkpoint | None) -> Checkpoint:
        """The checkpoint to read on from: the stored one, or that of a new epoch when the feed is another."""
        async with self._pages, asyncio.timeout(_PAGE_TIMEOUT_S):
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

    async def _read(self, checkpoint: Checkpoint) -> ChangesPage:
        async with self._pages, asyncio.timeout(_PAGE_TIMEOUT_S):
            return await self._feed.read(checkpoint.database, checkpoint.since, self._limits.changes)

    async def _commit(self, checkpoint: Checkpoint, page: ChangesPage) -> tuple[Batch, Applied]:
        # The lease is held from the first body on: it bounds how many batches are in memory.
        async with self._connections.lease() as lease:
            keys = [key_text(change.id) for change in page.changes]
            recorded = await lease.run(recorded_documents, checkpoint.site, keys)
            async with asyncio.timeout(_BODIES_TIMEOUT_S):
                batch = await read_batch(self._feed, checkpoint, page, recorded, self._limits)
                await self._write_ahead(checkpoint)
            return batch, await self._apply(lease, batch)

    async def _apply(self, lease: Lease, batch: Batch) -> Applied:
        """Commit it. Judging takes several times the memory of the bodies: large ones wait for each other."""
        if batch.body_bytes <= _LARGE_BATCHES * self._limits.body_bytes:
            return await lease.run(apply_batch, batch)
        async with self._large:
            return await lease.run(apply_batch, batch)

    async def _write_ahead(self, checkpoint: Checkpoint) -> None:
        """Announce the batch in the database it was read from. Raises SourceReplaced when that is no more."""
        if not is_continued(await self._feed.read_mark(checkpoint.database), checkpoint):
            raise SourceReplaced(checkpoint.site)
        await self._feed.write_mark(checkpoint.database, Mark(checkpoint.epoch, checkpoint.batch + 1))


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

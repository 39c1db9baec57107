"""A site's rows made anew beside the live ones, compared, and put in place where they differ.

Whoever doubts the rows (rules were wrong, somebody changed a table by hand, a disk lied) wants them made from
the documents again, without a day on which researchers find nothing. So the site is read from its start by
the very code that projects, into temporary tables (see `fresh`), and what comes out is compared with the live
rows, document by document. Readers, views and grants keep their tables.

The exchange is one transaction, and for everybody else a batch like any other: it locks the live checkpoint,
reads what is left of the feed, announces itself in the site database and advances the checkpoint.

| what happens | outcome |
|---|---|
| it is killed, or Postgres or the store goes away | the temporary tables are gone, nothing has changed |
| tablets push meanwhile | they are not held up; the last changes are read under the lock |
| the projector goes on meanwhile | it waits for the exchange, and reads its own batch again |
| … starts to read the site from its start meanwhile | StaleBatch: to be tried again |
| the site database was recreated or restored, or never read | a new epoch, as the projector would begin one |
| documents are gone from the site database, or deleted | their rows stay, marked |
| scores of an older version are replaced | their values go into `score_history` |
| nothing differs | the checkpoint advances; that is the proof |
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import psycopg
from sqlalchemy import Table

from reporting import tables
from reporting.consent.flagging import flag_all, flag_pending
from reporting.documents.text import key_text
from reporting.errors import FeedUnavailable, NotFollowed, SourceReplaced, StaleBatch
from reporting.projection import fresh
from reporting.projection.across import flag_after_gone
from reporting.projection.apply import apply_batch, recorded_documents
from reporting.projection.batch import Batch, Checkpoint, session_ids
from reporting.projection.checkpoint import (
    advance_checkpoint,
    hold_checkpoint,
    load_checkpoint,
    start_epoch,
)
from reporting.projection.connections import Lease, open_connection
from reporting.projection.feed import Mark, SiteDatabase, SiteFeed
from reporting.projection.followed import followed_checkpoint
from reporting.projection.reading import Limits, read_batch
from reporting.projection.references import resolve_site
from reporting.projection.replays import load_replays, read_replays
from reporting.projection.transactions import transaction
from reporting.projection.write import delete_session_rows
from reporting.projection.write_ahead import write_ahead
from reporting.redcap.requests import push_written
from reporting.visits import completion

_TRIES = 3

Tell = Callable[[int, int], None]
"""Is told how many documents are read, and of how many."""


class Rebuilt(NamedTuple):
    """What a rebuild of one site has found and replaced."""

    site: str
    documents: int
    """Documents that were read."""
    replaced: int
    """Documents of which any row differed."""
    by_table: Mapping[str, int]
    """Of them, by table: those whose rows differed there."""
    marked: int
    """Rows that are marked as gone from the site database, and were not."""


async def rebuild_site(
    feed: SiteFeed,
    database_url: str,
    database: SiteDatabase,
    *,
    new_epoch: Callable[[], str],
    tell: Tell,
    limits: Limits | None = None,
    dry_run: bool = False,
) -> Rebuilt:
    """Rebuild one site; with `dry_run` everything is done and then undone.

    Raises StaleBatch or SourceReplaced when the projector began to read the site from its start meanwhile,
    again and again; NotFollowed for a dry run of a site that has to be read from its start first;
    FeedUnavailable, and what the driver raises when Postgres fails. Nothing has changed then.
    """
    for tries_left in reversed(range(_TRIES)):
        connection = await open_connection(database_url, application_name="metricis-rebuild")
        try:
            rebuild = _Rebuild(feed, connection, database, limits or Limits(), tell)
            return await rebuild.run(new_epoch, dry_run=dry_run)
        except (StaleBatch, SourceReplaced):
            if dry_run or not tries_left:
                raise
        finally:
            await asyncio.to_thread(connection.close)
    raise AssertionError


class _Rebuild:
    """One try, on a connection of its own."""

    def __init__(
        self,
        feed: SiteFeed,
        connection: psycopg.Connection,
        database: SiteDatabase,
        limits: Limits,
        tell: Tell,
    ) -> None:
        self._feed = feed
        self._lease = Lease(connection)
        self._database = database
        self._limits = limits
        self._tell = tell
        self._read = 0

    async def run(self, new_epoch: Callable[[], str], *, dry_run: bool) -> Rebuilt:
        live = await self._followed(new_epoch, dry_run=dry_run)
        await self._lease.run(_create_fresh)
        begun = await self._lease.run(start_epoch, self._database, None, live.epoch)
        own = await self._read_to_end(begun)
        await self._lease.run(_analyze_fresh)
        async with transaction(self._lease, keep=not dry_run):
            held = await self._lease.run(_hold_live, live.site)
            if held is None or held.epoch != own.epoch:
                raise StaleBatch(live.site)
            own = await self._read_to_end(own)
            if not dry_run:
                await write_ahead(self._feed, held)
            return await self._lease.run(_exchange, held, own.since, self._read)

    async def _followed(self, new_epoch: Callable[[], str], *, dry_run: bool) -> Checkpoint:
        """The live checkpoint, of this very database."""
        database = self._database
        followed = await followed_checkpoint(self._feed, self._lease, database)
        if followed is not None:
            return followed
        if dry_run:
            raise NotFollowed(database.site)
        stored = await self._lease.run(load_checkpoint, database.site)
        live = await self._lease.run(start_epoch, database, stored, new_epoch())
        await self._feed.write_mark(database.database, Mark(live.epoch, live.batch))
        return live

    async def _read_to_end(self, own: Checkpoint) -> Checkpoint:
        """Project into the fresh tables what comes after `own`, and what has to be replayed for it."""
        while True:
            page = await self._feed.read(own.database, own.since, self._limits.changes)
            at_end = not page.changes and not own.rereading
            if not at_end:
                keys = [key_text(change.id) for change in page.changes]
                recorded = await self._lease.run(recorded_documents, own.site, keys)
                batch = await read_batch(self._feed, own, page, recorded, self._limits)
                own = (await self._lease.run(apply_batch, batch, announces=False)).checkpoint
                at_end = batch.at_end
                self._read += len(batch.documents)
                self._tell(self._read, self._read + (batch.pending or 0))
            if at_end:
                replays = await self._lease.run(load_replays, own.site)
                if not replays:
                    return own
                keys = [replay.key for replay in replays]
                recorded = await self._lease.run(recorded_documents, own.site, keys)
                batch = await read_replays(self._feed, own, replays, recorded, self._limits)
                if not batch.replayed:
                    # Purged since, or not yet on the copy that answers: begun again, the feed tells which.
                    raise FeedUnavailable(f"{len(replays)} documents were named and cannot be read just now")
                own = (await self._lease.run(apply_batch, batch, announces=False)).checkpoint


def _create_fresh(connection: psycopg.Connection) -> None:
    connection.execute(fresh.PREPARE)
    for statement in fresh.create_fresh():
        connection.execute(statement)


def _analyze_fresh(connection: psycopg.Connection) -> None:
    for statement in fresh.analyze_fresh():
        connection.execute(statement)


def _hold_live(connection: psycopg.Connection, site: str) -> Checkpoint | None:
    connection.execute(fresh.TO_LIVE)
    held = hold_checkpoint(connection, site)
    connection.execute(fresh.TO_FRESH)
    return held


def _exchange(connection: psycopg.Connection, live: Checkpoint, since: str, read: int) -> Rebuilt:
    """Put fresh rows in the place of live ones that differ, and advance the live checkpoint to `since`."""
    people = _hold_people(connection, live.site)
    resolve_site(
        connection, live.site, with_tasks=True
    )  # a reference may have appeared while the site was read
    connection.execute(fresh.CONSENTS_OF_OTHER_SITES, {"site": live.site})
    flag_all(connection, live.site)
    connection.execute(fresh.SITTINGS_OF_OTHER_SITES, {"site": live.site})
    completion.flag_twice(connection, people)
    connection.execute(fresh.TO_LIVE)
    flag_pending(connection, live.site)  # what the projector would have done a moment later is no difference
    connection.execute(fresh.TO_FRESH)
    found = {table.name: _differing(connection, live.site, table) for table in tables.RESULTS}
    replaced = sorted(set().union(*found.values()))
    states = recorded_documents(connection, live.site, replaced)
    alive = [key for key in replaced if states[key].state != "deleted"]
    connection.execute(fresh.TO_LIVE)
    delete_session_rows(connection, live.site, session_ids(alive))
    for table in tables.RESULTS:
        ids = {"site": live.site, "doc_ids": alive if fresh.is_kept(table) else replaced}
        connection.execute(fresh.remove_live(table), ids)
        connection.execute(fresh.insert_fresh(table), ids)
    about = {"site": live.site, "epoch": live.epoch}
    connection.execute(fresh.SETTLE_EPOCHS, about)
    marked = sum(connection.execute(statement, about).rowcount for statement in fresh.MARK_UNSEEN)
    flag_after_gone(connection, live.site)
    completion.bring_up_to_date(connection, people)
    push_written(connection, live.site, session_ids(replaced), people)
    advance_checkpoint(connection, Batch(live, since, 0, at_end=True, documents=()))
    by_table = {name: len(keys) for name, keys in found.items()}
    return Rebuilt(live.site, read, len(replaced), by_table, marked)


def _hold_people(connection: psycopg.Connection, site: str) -> completion.People:
    """Everybody whose visits live or fresh sessions are of; nobody else changes their flags meanwhile."""
    people = completion.people_at(connection, site)
    connection.execute(fresh.TO_LIVE)
    people |= completion.people_at(connection, site)
    completion.hold(connection, people)
    connection.execute(fresh.TO_FRESH)
    return people


def _differing(connection: psycopg.Connection, site: str, table: Table) -> set[str]:
    return {owner for (owner,) in connection.execute(fresh.differing(table), {"site": site})}

"""Documents that are projected again, whatever is recorded of them: the table `replays`.

Whoever has a reason (a correction arrived, a coordinator retries, scoring has a new version, reconcile found
a gap) adds a row; the projector works rows off and takes each away in the transaction that writes the
document. A row that is asked for again meanwhile gets a new ticket and stays. The leaves come from the site
database as it is now, so a replay is never older than the feed.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import psycopg

from replication.values import Change, ChangesPage
from reporting.documents.text import key_text
from reporting.projection import statements
from reporting.projection.batch import Batch, Checkpoint, Recorded
from reporting.projection.feed import START, SiteFeed
from reporting.projection.reading import Limits, read_batch

AT_ONCE: Final = 100
"""Replays of a batch: past 100 named documents, Apache CouchDB reads the whole feed for them."""

PATIENCE: Final = timedelta(hours=1)
"""How long a document that was named and not given may be unknown before it counts as purged."""

_SEARCHED_AT_ONCE: Final = 10_000


class Replay(NamedTuple):
    """One document to project again. `key` is its id as rows spell it."""

    key: str
    ticket: int
    awaited: bool = False
    """The feed named it a while ago: not to be found does not mean that it is gone."""


def sites_with_replays(connection: psycopg.Connection) -> set[str]:
    """The sites that have any."""
    with connection.transaction():
        return {site for (site,) in connection.execute(statements.SITES_WITH_REPLAYS)}


def load_replays(connection: psycopg.Connection, site: str) -> list[Replay]:
    """The site's oldest replays, AT_ONCE at most."""
    with connection.transaction():
        parameters = {"site": site, "limit": AT_ONCE, "unread": statements.UNREAD, "patience": PATIENCE}
        found = connection.execute(statements.LOAD_REPLAYS, parameters)
        return [Replay(*row) for row in found]


def request_replays(
    connection: psycopg.Connection, site: str, keys: Sequence[str], *, cause: str, requested_by: str
) -> None:
    """Have these documents (ids as rows spell them) projected again; in the caller's transaction."""
    if keys:
        parameters = {
            "site": site,
            "doc_ids": sorted(keys),
            "cause": cause,
            "requested_by": requested_by,
            "unread": statements.UNREAD,
        }
        connection.execute(statements.REQUEST_REPLAYS, parameters)


async def read_replays(
    feed: SiteFeed,
    checkpoint: Checkpoint,
    replays: Sequence[Replay],
    recorded: Mapping[str, Recorded],
    limits: Limits,
) -> Batch:
    """The batch that works off the first of `replays`: as many as fit. Raises FeedUnavailable.

    `recorded` is what Postgres knows of them: leaves that a copy which is behind does not name are asked
    for. Documents that are gone from the site database are done, unless they are awaited: there is nothing
    to apply.
    """
    awaited = {replay.key for replay in replays if replay.awaited}
    tickets = {replay.key: replay.ticket for replay in replays}
    changes = await look_up_keys(feed, checkpoint.database, tickets)
    found = {key_text(change.id) for change in changes}
    # What is awaited is newer than what is recorded: that would end the wait without it.
    unnamed = [
        Change("", key, recorded[key].leaf_revs)
        for key in sorted((tickets.keys() & recorded.keys()) - found - awaited)
        if not _may_be_spelled_otherwise(key)
    ]
    page = ChangesPage((*changes, *unnamed), checkpoint.since)
    read = await read_batch(feed, checkpoint, page, recorded, limits, again=True)
    reached = {document.key for document in read.documents} | set(read.unread)
    gone = tickets.keys() - found - awaited
    # Those that are recorded and not named are gone when they were asked for, and not given.
    gone -= {change.id for change in unnamed} - reached
    done = ({document.key for document in read.documents} & tickets.keys()) | gone
    return Batch(
        read_from=checkpoint,
        since=checkpoint.since,
        pending=None,
        at_end=False,
        documents=read.documents,
        replayed=tuple(sorted((key, tickets[key]) for key in done)),
    )


async def look_up_keys(feed: SiteFeed, database: str, keys: Collection[str]) -> list[Change]:
    """The documents that rows spell so, as they are now. Most ids are spelled as they are."""
    spelled_otherwise = [key for key in keys if _may_be_spelled_otherwise(key)]
    plain = [key for key in keys if key not in spelled_otherwise]
    changes = list(await feed.look_up(database, plain)) if plain else []
    if spelled_otherwise:
        changes += await _search(feed, database, frozenset(spelled_otherwise))
    return changes


def _may_be_spelled_otherwise(key: str) -> bool:
    """Ids that are too long, or hold NUL, cannot be told from their key: see `key_text`."""
    return "…" in key or "\ufffd" in key


async def _search(feed: SiteFeed, database: str, keys: frozenset[str]) -> list[Change]:
    """By a look at the whole feed: rare enough."""
    found: dict[str, Change] = {}
    since = START
    while True:
        page = await feed.read(database, since, limit=_SEARCHED_AT_ONCE)
        found |= {change.id: change for change in page.changes if key_text(change.id) in keys}
        if not page.changes:
            return list(found.values())
        since = page.last_seq

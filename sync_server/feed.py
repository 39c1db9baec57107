"""The projector's feed: `reporting`'s SiteFeed on the CouchDB HTTP API, embedded store or CouchDB alike."""

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from replication.client import CouchClient
from replication.errors import CouchError, Forbidden, TooLarge, Unauthorized, Unavailable
from replication.values import Change, ChangesPage, Leaf
from reporting.errors import BodiesTooLarge, FeedRefused, FeedUnavailable
from reporting.projection.feed import Mark, SiteDatabase
from reporting.sites import site_of

P = ParamSpec("P")
T = TypeVar("T")

MOST_BYTES_AT_ONCE = 32_000_000
"""Of an answer with several documents. One document may be larger: it has to come as a whole."""

MARK = "projector"
"""Id of the `_local` document that holds the mark."""


def _translated(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (Unauthorized, Forbidden) as error:
            raise FeedRefused(f"{error.error}: {error.reason}") from error
        except CouchError as error:
            raise FeedUnavailable(f"{error.error}: {error.reason}") from error

    return call


class CouchFeed:
    """`SiteFeed` on a CouchDB client. Every failure is a FeedUnavailable.

    `_db_updates` tells which databases changed. Its position is the server's: after a restart, or when the
    server does not know it any more, it begins anew and every database is told once.
    """

    def __init__(self, client: CouchClient) -> None:
        self._client = client
        self._updates: str | None = None
        self._mark_revs: dict[str, str] = {}

    @_translated
    async def databases(self) -> Sequence[SiteDatabase]:
        """All site databases."""
        found = [(site_of(name), name) for name in await self._client.all_dbs()]
        return [SiteDatabase(site, name) for site, name in found if site is not None]

    @_translated
    async def read(self, database: str, since: str, limit: int) -> ChangesPage:
        """At most `limit` changes after `since`."""
        return await self._client.changes(database, since, limit=limit)

    @_translated
    async def look_up(self, database: str, doc_ids: Sequence[str]) -> Sequence[Change]:
        """The leaves that these documents have now."""
        return await self._client.changes_of(database, doc_ids)

    @_translated
    async def leaves(self, database: str, changes: Sequence[Change]) -> Mapping[str, Sequence[Leaf]]:
        """The bodies of all leaves of these documents, each document whole or not at all."""
        wanted = [(change.id, rev) for change in changes for rev in change.revs]
        found: dict[str, list[Leaf]] = {}
        most_bytes = MOST_BYTES_AT_ONCE if len(changes) > 1 else None
        try:
            told = await self._client.latest_leaves(database, wanted, most_bytes=most_bytes)
        except TooLarge as error:
            if most_bytes is None:
                raise
            raise BodiesTooLarge(error.reason) from error
        for leaf in told.leaves:
            if leaf.id not in told.unread:
                found.setdefault(leaf.id, []).append(leaf)
        return found

    @_translated
    async def read_mark(self, database: str) -> Mark | None:
        """The projector's mark; None for what is none, too: the site is then read from its start."""
        document = await self._client.local(database, MARK)
        if document is None:
            self._mark_revs.pop(database, None)
            return None
        try:
            self._mark_revs[database] = str(document["_rev"])
            return Mark(str(document["epoch"]), int(document["batch"]))
        except (KeyError, TypeError, ValueError):
            return None

    @_translated
    async def write_mark(self, database: str, mark: Mark) -> None:
        """Replace the projector's mark. `_local` documents know no conflict: the last write counts.

        It counts on from the revision that was read: were all marks `0-1`, a cluster could not tell a copy
        that missed the last one, and might show it.
        """
        document: dict[str, Any] = {"epoch": mark.epoch, "batch": mark.batch}
        if (rev := self._mark_revs.get(database)) is not None:
            document["_rev"] = rev
        self._mark_revs[database] = await self._client.put_local(database, MARK, document)

    @_translated
    async def wait(self, timeout: float) -> frozenset[str] | None:  # noqa: ASYNC109 (the server waits, not we)
        """The site databases that changed since the last call, at the latest after `timeout` seconds."""
        since = self._updates
        try:
            told = await self._client.wait_for_updates(since, timeout_ms=int(timeout * 1000))
        except Unavailable:
            raise
        except CouchError:
            self._updates = None
            raise
        if told.names and told.last_seq == since:
            # It would tell the same for ever, at once.
            raise FeedUnavailable("_db_updates tells of changes, and does not move on")
        self._updates = told.last_seq
        return frozenset(name for name in told.names if site_of(name) is not None)

"""Where changes come from: what the projector asks of the site databases.

`reporting` knows study documents and Postgres, not HTTP. Whoever composes the service hands it a feed that
speaks to the site databases, embedded store or Apache CouchDB alike.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from replication.values import Change, ChangesPage, Leaf

START = "0"
"""The position before the first change."""


class SiteDatabase(NamedTuple):
    """A site and the name of its database."""

    site: str
    database: str


class Mark(NamedTuple):
    """What the projector leaves in the site database, `_local/projector`: the batch it is to commit next."""

    epoch: str
    batch: int


class SiteFeed(Protocol):
    """What the projector needs of the site databases.

    Every method raises `reporting.errors.FeedUnavailable` when a database does not answer as it should.
    """

    async def databases(self) -> Sequence[SiteDatabase]:
        """All site databases there are now."""
        ...

    async def read(self, database: str, since: str, limit: int) -> ChangesPage:
        """At most `limit` changes after `since` (START: all): all leaf revisions, no bodies."""
        ...

    async def look_up(self, database: str, doc_ids: Sequence[str]) -> Sequence[Change]:
        """The leaf revisions that these documents have now, no bodies. Documents that are gone are absent."""
        ...

    async def leaves(self, database: str, changes: Sequence[Change]) -> Mapping[str, Sequence[Leaf]]:
        """The bodies of all leaf revisions of these documents, by document id: what the named ones are now.

        A document of which not all can be read is absent: it has vanished since the change was read (purged,
        or its database recreated), or the copy of a cluster that answers has not got it yet.
        Raises BodiesTooLarge where these are several documents and too much to hold at once.
        """
        ...

    async def read_mark(self, database: str) -> Mark | None:
        """The projector's mark; None where there is none, as in a database that was recreated."""
        ...

    async def write_mark(self, database: str, mark: Mark) -> None:
        """Replace the projector's mark, durably: it has to be on disk before this returns."""
        ...

    async def wait(self, timeout: float) -> frozenset[str] | None:  # noqa: ASYNC109 (the source waits)
        """Returns when a site database has changed, is new or gone; at the latest after `timeout` seconds.

        Answers the names of those since the last call; None: it may be any. A hint only: what it does not
        tell is found by polling.
        """
        ...

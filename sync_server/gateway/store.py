"""What the API asks of the site databases, answered through the CouchDB HTTP API (see `api.seams`)."""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from replication.client import CouchClient
from replication.errors import CouchError, NotFound
from sync_server.api.seams import StoreUnreachable

OPENED_AT_ONCE = 8
"""Documents that are opened at a time: each may be megabytes."""


class SiteStore:
    """`LeafLookup` and `StoreProbe` on a CouchDB client."""

    def __init__(self, client: CouchClient) -> None:
        self._client = client

    async def ping(self) -> None:
        """Raises StoreUnreachable unless the store answers."""
        try:
            await self._client.server_info()
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error

    async def pending(self, database: str, since: str) -> int:
        """Changes after `since`; 0 when there is no such database. Raises StoreUnreachable."""
        try:
            page = await self._client.changes(database, since, limit=1)
        except NotFound:
            return 0
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        return len(page.changes) + (page.pending or 0)

    async def descendants(
        self, database: str, revisions: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], AbstractSet[str]]:
        """For each (id, rev): the leaves that equal it or descend from it. Raises StoreUnreachable."""
        asked: dict[str, list[str]] = {}
        for doc_id, rev in revisions:
            asked.setdefault(doc_id, []).append(rev)
        known = await self._known(database, asked)
        leaves = await self._leaves(database, list(known))
        found: dict[tuple[str, str], AbstractSet[str]] = {}
        replaced: dict[str, list[str]] = {}
        for doc_id, revs in known.items():
            for rev in revs:
                if rev in leaves.get(doc_id, ()):
                    found[doc_id, rev] = {rev}
                else:
                    replaced.setdefault(doc_id, []).append(rev)
        ids = list(replaced)
        for start in range(0, len(ids), OPENED_AT_ONCE):
            some = ids[start : start + OPENED_AT_ONCE]
            lineages = await asyncio.gather(*(self._lineages(database, doc_id) for doc_id in some))
            for doc_id, lineage_of in zip(some, lineages, strict=True):
                for rev in replaced[doc_id]:
                    found[doc_id, rev] = {leaf for leaf, lineage in lineage_of.items() if rev in lineage}
        return found

    async def _known(self, database: str, asked: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Those of the asked revisions that the store has: only their documents are worth opening."""
        try:
            diff = await self._client.revs_diff(database, asked)
        except NotFound:
            return {}
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        known = {
            doc_id: [rev for rev in revs if doc_id not in diff or rev not in diff[doc_id].missing]
            for doc_id, revs in asked.items()
        }
        return {doc_id: revs for doc_id, revs in known.items() if revs}

    async def _leaves(self, database: str, doc_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The leaves of these documents. Most revisions asked about are leaves: no document is opened for
        them.
        """
        try:
            changes = await self._client.changes_of(database, doc_ids)
        except NotFound:
            return {}
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        return {change.id: change.revs for change in changes}

    async def _lineages(self, database: str, doc_id: str) -> dict[str, set[str]]:
        """Each leaf with all its ancestors, itself included."""
        try:
            leaves = await self._client.open_leaves(database, doc_id)
        except NotFound:
            return {}
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        return {
            leaf["_rev"]: {
                f"{leaf['_revisions']['start'] - age}-{rev_id}"
                for age, rev_id in enumerate(leaf["_revisions"]["ids"])
            }
            for leaf in leaves
        }

"""Carrying out at the hub what was erased at the centre.

    block ─▶ forget in the records ─▶ purge ─▶ wait a moment ─▶ forget and purge again ─▶ compact ─▶ done

| what happens | what follows |
|---|---|
| a tablet's push passed the block a moment before | the second look finds it |
| the process dies anywhere | the centre still has the task: all of it once more, to the same end |
| the centre names more meanwhile | it takes no `done` for less; the next contact does all of it |
| the tablet pushes the document again, later | refused; the fingerprint stays |
| it is on its way from the centre at that moment | refused by the hub's own store too |
| it is a publication | purged the same; the centre publishes it no more |
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from replication.client import CouchClient
from replication.errors import CouchError
from sync_server.hub import erased as fingerprints
from sync_server.hub import journal
from sync_server.hub.contact import StepFailure
from sync_server.hub.erased import Erased
from sync_server.hub.records import Records
from sync_server.site_erasing import CouchSiteStore

SETTLE_S: Final = 1.0
"""From the block to the second look: far longer than from a push's journal entry to its commit."""


class Eraser:
    """Erases documents of one database."""

    def __init__(
        self,
        records: Records,
        erased: Erased,
        client: CouchClient,
        database: str,
        *,
        settle: float = SETTLE_S,
    ) -> None:
        self._records = records
        self._erased = erased
        self._client = client
        self._store = CouchSiteStore(client)
        self._database = database
        self._settle = settle

    async def erase(self, documents: Mapping[str, Sequence[str]]) -> None:
        """Take these revisions, and what was made from them, out of everything, and keep them out; the whole
        document where none is named. Raises StepFailure, RecordsFailed.
        """
        blocked = self._erased.block(documents)
        await self._records.do(lambda c: fingerprints.keep(c, blocked))
        try:
            await self._take_out(documents)
            await asyncio.sleep(self._settle)
            await self._take_out(documents)
            await self._store.compact(self._database)
        except CouchError as error:
            raise StepFailure("failed", f"the store could not erase: {error.reason}") from error
        await self._records.forget_deleted()

    async def _take_out(self, documents: Mapping[str, Sequence[str]]) -> None:
        await self._records.do(lambda c: journal.forget(c, documents))
        leaves = await self._leaves(documents)
        if not leaves:
            return
        parts = {doc_id: revs for doc_id, revs in leaves.items() if documents[doc_id]}
        await self._records.do(lambda c: journal.forget(c, parts))
        await self._store.purge(self._database, leaves)

    async def _leaves(self, documents: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """The leaves to purge, of documents that have some."""
        found = await self._client.changes_of(self._database, list(documents))
        leaves: dict[str, Sequence[str]] = {}
        for change in found:
            named = set(documents[change.id])
            if not named:
                leaves[change.id] = change.revs
                continue
            opened = await self._client.open_leaves(self._database, change.id)
            if revs := [leaf["_rev"] for leaf in opened if named & lineage(leaf)]:
                leaves[change.id] = revs
        return leaves


def lineage(leaf: Mapping[str, Any]) -> set[str]:
    """A leaf's revision and those it was made from; `leaf` has `_revisions`."""
    start, ids = leaf["_revisions"]["start"], leaf["_revisions"]["ids"]
    return {f"{start - age}-{rev_id}" for age, rev_id in enumerate(ids)}

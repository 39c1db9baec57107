"""Carrying out at the hub what was erased at the centre.

    block ─▶ forget in the records ─▶ purge ─▶ wait a moment ─▶ forget and purge again ─▶ compact ─▶ done

| what happens | what follows |
|---|---|
| a tablet's push passed the block a moment before | the second look finds it |
| the process dies anywhere | the centre still has the task: all of it once more, to the same end |
| the tablet pushes the document again, later | refused; the fingerprint stays |
| it is a publication | purged the same; the centre publishes it no more |
"""

import asyncio
from collections.abc import Sequence
from typing import Final

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

    async def erase(self, doc_ids: Sequence[str]) -> None:
        """Take these documents out of everything, and keep them out. Raises StepFailure, RecordsFailed."""
        blocked = self._erased.block(doc_ids)
        await self._records.do(lambda c: fingerprints.keep(c, blocked))
        try:
            await self._take_out(doc_ids)
            await asyncio.sleep(self._settle)
            await self._take_out(doc_ids)
            await self._store.compact(self._database)
        except CouchError as error:
            raise StepFailure("failed", f"the store could not erase: {error.reason}") from error
        await self._records.forget_deleted()

    async def _take_out(self, doc_ids: Sequence[str]) -> None:
        await self._records.do(lambda c: journal.forget(c, doc_ids))
        found = await self._client.changes_of(self._database, doc_ids)
        leaves = {change.id: change.revs for change in found}
        if leaves:
            await self._store.purge(self._database, leaves)

"""An erasure's hands in the site databases: `reporting.erasure.site_store.SiteStore` on a CouchDB client.

The list of purges that a database keeps holds the ids of what was purged. So after a purge it is made to
forget: its limit is set to one for one purge of nothing, and then back to what it was.

| the process dies | what follows |
|---|---|
| between two purges | the next run finds what is left |
| with the limit at one | the next run sets it to the usual one; only other purges are forgotten sooner |
| it may not purge (an Apache CouchDB, asked as the service's own user) | Forbidden, with what to do |
| during a compaction | the next run starts it again |

A revision that the feed names and that no copy of a cluster gives just now is a failure, and the run is begun
again later: passed over, it would not be erased.
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final
from urllib.parse import quote

from replication.client import CouchClient
from replication.errors import Forbidden, Unauthorized, Unavailable
from reporting.erasure.site_store import StoredDocument

PAGE: Final = 5000
REVISIONS_AT_ONCE: Final = 20
PURGED_AT_ONCE: Final = 50
USUAL_LIMIT: Final = 1000
NOTHING: Final = {"erased": ["1-00000000000000000000000000000000"]}
_LOOK_S: Final = 0.05
MAY_NOT_PURGE: Final = (
    "CouchDB lets only server admins purge: give COUCHDB_ADMIN_URL to the workers, or run `sync-server "
    "participants erase` with it"
)


class CouchSiteStore:
    """See the module. Raises CouchError."""

    def __init__(self, client: CouchClient) -> None:
        self._client = client

    async def databases(self) -> list[str]:
        """The names of all databases."""
        return await self._client.all_dbs()

    async def naming(self, database: str, participant: str) -> list[tuple[str, str | None]]:
        """(id, study) of the documents whose winner has this `participant`."""
        body = {
            "selector": {"participant": participant},
            "fields": ["_id", "study"],
            "limit": 1_000_000_000,
            "execution_stats": False,
        }
        found = await self._post(database, "_find", body)
        return [(doc["_id"], _text(doc.get("study"))) for doc in found["docs"]]

    async def feed(self, database: str) -> list[StoredDocument]:
        """Every document of the feed with its leaves."""
        found: list[StoredDocument] = []
        since = "0"
        while True:
            page = await self._client.changes(database, since, limit=PAGE)
            found += [StoredDocument(change.id, change.revs, change.deleted) for change in page.changes]
            if not page.changes or page.pending == 0:
                return found
            since = page.last_seq

    async def bodies(
        self, database: str, revisions: Sequence[tuple[str, str]]
    ) -> list[tuple[str, str, bytes]]:
        """(id, revision, body) of those revisions that are kept."""
        found: list[tuple[str, str, bytes]] = []
        for start in range(0, len(revisions), REVISIONS_AT_ONCE):
            part = revisions[start : start + REVISIONS_AT_ONCE]
            given = await self._client.bulk_get(database, part)
            await self._check_gone(database, set(part) - {(leaf.id, leaf.rev) for leaf in given})
            found += [(leaf.id, leaf.rev, leaf.body) for leaf in given]
        return found

    async def _check_gone(self, database: str, revisions: AbstractSet[tuple[str, str]]) -> None:
        """Raises Unavailable where one of these is named by the feed: whose it is has to be known first."""
        asked = sorted({doc_id for doc_id, _ in revisions})
        for change in await self._client.changes_of(database, asked):
            if unread := [rev for rev in change.revs if (change.id, rev) in revisions]:
                raise Unavailable(f"{change.id} {unread[0]} is named, and cannot be read just now")

    async def purge(self, database: str, revisions: Mapping[str, Sequence[str]]) -> None:
        """Take these leaves out for good, and their ids out of the list of purges."""
        ids = list(revisions)
        for start in range(0, len(ids), PURGED_AT_ONCE):
            part = {doc_id: list(revisions[doc_id]) for doc_id in ids[start : start + PURGED_AT_ONCE]}
            try:
                await self._post(database, "_purge", part)
            except (Unauthorized, Forbidden) as error:
                raise Forbidden(MAY_NOT_PURGE) from error
        path = f"/{quote(database, safe='')}/_purged_infos_limit"
        await self._client.request("PUT", path, dict[str, Any], body=1)
        await self._post(database, "_purge", NOTHING)
        await self._client.request("PUT", path, dict[str, Any], body=USUAL_LIMIT)

    async def compact(self, database: str) -> None:
        """Compact, and wait for its end."""
        await self._finished(database)
        await self._post(database, "_compact", {})
        await self._finished(database)

    async def _finished(self, database: str) -> None:
        while (await self._client.info(database)).get("compact_running"):  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(_LOOK_S)

    async def _post(self, database: str, endpoint: str, body: Any) -> dict[str, Any]:
        path = f"/{quote(database, safe='')}/{endpoint}"
        return await self._client.request("POST", path, dict[str, Any], body=body)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

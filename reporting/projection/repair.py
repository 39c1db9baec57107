"""What a proof has found is put right: projected again, marked, recorded.

Whatever is there in the site database is put right by projecting it again: the projector replaces all rows of
a document. What is not there can only be marked: its rows may be the only copy that is left.

| found | in the site database | repair |
|---|---|---|
| `missing` | yes | a replay |
| `double`, `incomplete` | yes | a replay |
| `gone`, not marked | no | marked; its twins are none any more, and a correction applies no longer |
| a session, status or correction that is not recorded | no | recorded as gone |
| parts of a session that is neither recorded nor there | no | removed: nobody can say whose they are |
| rows of a recorded document | no | left as they are, and counted again the next time |

Marking holds the checkpoint, so no batch comes in between, and looks the documents up once more.
"""

from collections.abc import Collection, Iterable
from typing import Final

import psycopg

from reporting.documents.text import key_text
from reporting.projection import proving
from reporting.projection.across import flag_after_gone
from reporting.projection.batch import session_ids
from reporting.projection.checkpoint import hold_checkpoint
from reporting.projection.connections import Lease
from reporting.projection.feed import SiteDatabase, SiteFeed
from reporting.projection.kinds import KINDS
from reporting.projection.replays import look_up_keys, request_replays
from reporting.projection.transactions import transaction

_AT_ONCE: Final = 1000
_WHO: Final = "sync-server reconcile"


class Repairs:
    """Repairs of one site; `made` counts the documents that were repaired, or will be."""

    def __init__(self, feed: SiteFeed, lease: Lease, database: SiteDatabase) -> None:
        self._feed = feed
        self._lease = lease
        self._database = database
        self.made = 0

    async def replay(self, keys: Collection[str]) -> None:
        """Have these documents projected again."""
        for some in _parts(keys):
            await self._lease.run(_replay, self._database.site, some)
        self.made += len(keys)

    async def mark_gone(self, keys: Iterable[str]) -> None:
        """Mark those that are not in the site database."""
        for some in _parts(keys):
            async with transaction(self._lease):
                await self._lease.run(hold_checkpoint, self._database.site)
                absent = some - await self._there(some)
                await self._lease.run(_mark_gone, self._database.site, absent)
            self.made += len(absent)

    async def mend(self, keys: Iterable[str]) -> None:
        """Rows that do not fit: those of documents that are there are written anew."""
        for some in _parts(keys):
            async with transaction(self._lease):
                await self._lease.run(hold_checkpoint, self._database.site)
                there = await self._there(some)
                recorded = await self._lease.run(_settle_absent, self._database.site, some - there)
            await self.replay(there)
            self.made += recorded

    async def _there(self, keys: Collection[str]) -> set[str]:
        found = await look_up_keys(self._feed, self._database.database, keys)
        return {key_text(change.id) for change in found} & set(keys)


def mark_site_gone(connection: psycopg.Connection, site: str) -> int:
    """The whole site database is not there any more: mark everything of it; answers how many documents."""
    with connection.transaction():
        hold_checkpoint(connection, site)
        marked = [connection.execute(each, {"site": site}).rowcount for each in proving.MARK_SITE_GONE]
        flag_after_gone(connection, site)
    return marked[-1]


def _replay(connection: psycopg.Connection, site: str, keys: set[str]) -> None:
    with connection.transaction():
        request_replays(connection, site, sorted(keys), cause="reconcile", requested_by=_WHO)


def _mark_gone(connection: psycopg.Connection, site: str, keys: set[str]) -> int:
    """As the projector does at the end of a reading from the start; answers how many rows were not marked."""
    about = _about(site, keys)
    _, *marked = [connection.execute(statement, about).rowcount for statement in proving.MARK_GONE]
    for kind in KINDS.values():
        parameters = {"site": site, "names": kind.names(keys)}
        marked.append(connection.execute(kind.mark, parameters).rowcount)
    corrected = [row[0] for row in connection.execute(proving.MARK_CORRECTIONS_GONE, about)]
    told = {f"session:{session_id}" for session_id in corrected} - keys
    request_replays(connection, site, sorted(told), cause="correction", requested_by=_WHO)
    flag_after_gone(connection, site)
    return sum(marked) + len(corrected)


def _settle_absent(connection: psycopg.Connection, site: str, keys: set[str]) -> int:
    """Record sessions, statuses and corrections among these as gone, mark what is recorded, remove parts of
    nothing; answers how many documents were touched, about.
    """
    about = _about(site, keys)
    recorded = sum(connection.execute(each, about).rowcount for each in proving.RECORD_AS_GONE)
    marked = _mark_gone(connection, site, keys)
    removed = sum(connection.execute(each, about).rowcount for each in proving.REMOVE_PARTS)
    return max(recorded, marked) + bool(removed)


def _about(site: str, keys: set[str]) -> dict[str, object]:
    return {
        "site": site,
        "doc_ids": sorted(keys),
        "session_ids": session_ids(keys),
    }


def _parts(keys: Iterable[str]) -> Iterable[set[str]]:
    listed = list(keys)
    return (set(listed[at : at + _AT_ONCE]) for at in range(0, len(listed), _AT_ONCE))

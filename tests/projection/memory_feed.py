"""Site databases in memory, as far as a projector sees them: leaves, an order of changes, and a mark.

For the cases that a real store cannot be brought into on purpose: failing, hanging, being replaced between
two particular requests. Everything else is tested against the real store, end to end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from replication.values import Change, ChangesPage, Leaf, Rev
from reporting.projection.feed import Mark, SiteDatabase


class MemoryDatabase:
    """One site database. `save` and `delete` work on leaves; ancestors are not kept."""

    def __init__(self) -> None:
        self.mark: Mark | None = None
        self.leaves: dict[str, dict[str, Leaf]] = {}
        self._order: list[str] = []
        self._seqs: list[int] = []
        self._last_seq = 0

    def save(
        self, document: dict[str, Any] | bytes, rev: str, *, doc_id: str = "", replaces: Sequence[str] = ()
    ) -> None:
        """A new leaf; it ends the branches in `replaces`. A body given as bytes is stored as it is."""
        if isinstance(document, bytes):
            self._add(Leaf(id=doc_id, rev=rev, deleted=False, body=document), replaces)
        else:
            body = msgspec.json.encode({**document, "_rev": rev})
            self._add(Leaf(id=document["_id"], rev=rev, deleted=False, body=body), replaces)

    def delete(self, doc_id: str, rev: str, *, replaces: Sequence[str]) -> None:
        """A deletion as the new leaf of the branches in `replaces`."""
        body = msgspec.json.encode({"_id": doc_id, "_rev": rev, "_deleted": True})
        self._add(Leaf(id=doc_id, rev=rev, deleted=True, body=body), replaces)

    def purge(self, doc_id: str) -> None:
        """As if the document had never been."""
        del self.leaves[doc_id]
        self._forget(doc_id)

    def _add(self, leaf: Leaf, replaces: Sequence[str]) -> None:
        leaves = self.leaves.setdefault(leaf.id, {})
        for rev in replaces:
            del leaves[rev]
        leaves[leaf.rev] = leaf
        self._forget(leaf.id)
        self._last_seq += 1
        self._order.append(leaf.id)
        self._seqs.append(self._last_seq)

    def _forget(self, doc_id: str) -> None:
        if doc_id in self._order:
            at = self._order.index(doc_id)
            del self._order[at], self._seqs[at]

    def read(self, since: str, limit: int) -> ChangesPage:
        """A page as `_changes?style=all_docs` gives it."""
        rows = [
            (seq, doc_id) for seq, doc_id in zip(self._seqs, self._order, strict=True) if seq > int(since)
        ]
        changes = tuple(self._change(seq, doc_id) for seq, doc_id in rows[:limit])
        return ChangesPage(changes, changes[-1].seq if changes else since, max(0, len(rows) - limit))

    def _change(self, seq: int, doc_id: str) -> Change:
        leaves = sorted(
            self.leaves[doc_id].values(),
            key=lambda leaf: (not leaf.deleted, Rev.parse(leaf.rev)),
            reverse=True,
        )
        return Change(str(seq), doc_id, tuple(leaf.rev for leaf in leaves), leaves[0].deleted)


class MemoryFeed:
    """`SiteFeed` on memory databases. `before` is called ahead of every request, to fail or to interfere."""

    def __init__(self, *sites: str) -> None:
        self.of_site = {site: MemoryDatabase() for site in sites}
        self.before: Callable[[str, str], Awaitable[None]] = _nothing
        self.requests: list[tuple[str, str]] = []
        self._changed = asyncio.Event()
        self._hinted: set[str] | None = set()

    def __getitem__(self, site: str) -> MemoryDatabase:
        return self.of_site[site]

    def recreate(self, site: str) -> MemoryDatabase:
        """Replace the site's database by an empty one."""
        self.of_site[site] = MemoryDatabase()
        return self.of_site[site]

    def hint(self, *sites: str) -> None:
        """Let `wait` return and tell of these sites; without any, that it does not know which."""
        if not sites:
            self._hinted = None
        elif self._hinted is not None:
            self._hinted |= {f"site-{site}" for site in sites}
        self._changed.set()

    async def databases(self) -> Sequence[SiteDatabase]:
        self.requests.append(("databases", ""))
        return [SiteDatabase(site, f"site-{site}") for site in self.of_site]

    async def read(self, database: str, since: str, limit: int) -> ChangesPage:
        return (await self._asked("read", database)).read(since, limit)

    async def look_up(self, database: str, doc_ids: Sequence[str]) -> Sequence[Change]:
        memory = await self._asked("look_up", database)
        return [change for change in memory.read("0", len(memory.leaves)).changes if change.id in doc_ids]

    async def leaves(self, database: str, changes: Sequence[Change]) -> Mapping[str, Sequence[Leaf]]:
        memory = await self._asked("leaves", database)
        return {
            change.id: list(memory.leaves[change.id].values())
            for change in changes
            if change.id in memory.leaves
        }

    async def read_mark(self, database: str) -> Mark | None:
        return (await self._asked("read_mark", database)).mark

    async def write_mark(self, database: str, mark: Mark) -> None:
        (await self._asked("write_mark", database)).mark = mark

    async def wait(self, timeout: float) -> frozenset[str] | None:  # noqa: ASYNC109 (as the interface has it)
        self.requests.append(("wait", ""))
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return frozenset()
        self._changed.clear()
        hinted, self._hinted = self._hinted, set()
        return None if hinted is None else frozenset(hinted)

    async def _asked(self, request: str, database: str) -> MemoryDatabase:
        site = database.removeprefix("site-")
        self.requests.append((request, site))
        await self.before(request, site)
        return self.of_site[site]


async def _nothing(request: str, site: str) -> None:
    return None

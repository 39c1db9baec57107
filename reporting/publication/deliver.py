"""Bringing a site database to what Postgres says.

First the documents are read, with their revisions, then Postgres. In this order a write that comes late,
after another worker's newer one, is a conflict and not a step back; then both are read again. Where the newer
one found nothing to write (a participant came to the site and left it), there is no conflict: so what was
written is looked at once more.

| what happens | outcome |
|---|---|
| it is as it has to be | nothing is written |
| published twice, by two workers at once | one writes; the other's conflict finds it done |
| a worker writes late what is not wanted any more | it sees that, and takes it back |
| the answer of a write is lost | the next attempt finds what was written |
| one document is refused | its entry fails alone |
| a person or program changed a published document | written over |
| a document of another type | never touched |
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.publication.desired import PUBLISHED_TYPES, Document, canonical, type_of
from reporting.publication.selecting import (
    ConsentStates,
    Key,
    page_of_ids,
    read_catalogue,
    read_named,
)
from reporting.publication.site_documents import CONFLICT, SiteDocuments
from reporting.queries.snapshot import snapshot
from reporting.sites import database_of
from reporting.tables import sites

MOST_AT_ONCE: Final = 200
"""Documents that are read, compared and written together."""

_ROUNDS: Final = 5

Tell = Callable[[int], None]
"""Is told how many documents were compared since."""


class Drift(msgspec.Struct):
    """What was not as it has to be, by id; once it is written it is as it has to be, but for `problems`."""

    compared: int = 0
    missing: list[str] = []
    different: list[str] = []
    surplus: list[str] = []
    problems: dict[str, str] = {}

    @property
    def found(self) -> int:
        """How many documents were not as they have to be."""
        return len(self.missing) + len(self.different) + len(self.surplus)


class Publisher:
    """Publishes to site databases; with `writes` False it only looks."""

    def __init__(
        self, engine: AsyncEngine, documents: SiteDocuments, consents: ConsentStates, *, writes: bool = True
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._consents = consents
        self._writes = writes

    async def publish(self, site: str, doc_ids: Iterable[str]) -> Drift:
        """Bring these documents up to date. Ids of types that are not published are passed over.

        Raises SiteDatabaseMissing, SiteDatabaseAway; what was written until then stays.
        """
        drift = Drift()
        wanted = sorted({doc_id for doc_id in doc_ids if type_of(doc_id) is not None})
        for start in range(0, len(wanted), MOST_AT_ONCE):
            await self._converge(site, wanted[start : start + MOST_AT_ONCE], drift)
        return drift

    async def publish_site(self, site: str, tell: Tell = lambda _: None) -> Drift:
        """Bring everything that is published at a site up to date, in pages. Raises as `publish`."""
        drift = Drift()
        for type_ in PUBLISHED_TYPES:
            await self._what_is_there(site, type_, drift, tell)
        async with snapshot(self._engine) as connection:
            few = sorted((await read_catalogue(connection, site)).documents)
        for start in range(0, len(few), MOST_AT_ONCE):
            await self._what_is_missing(site, few[start : start + MOST_AT_ONCE], drift, tell)
        for type_ in ("participant", "visit"):
            after: Key | None = None
            while True:
                async with snapshot(self._engine) as connection:
                    ids, after = await page_of_ids(connection, site, type_, after, limit=MOST_AT_ONCE)
                await self._what_is_missing(site, ids, drift, tell)
                if after is None:
                    break
        return drift

    async def is_open(self, site: str) -> bool:
        """Whether the site is one, and not archived."""
        async with snapshot(self._engine) as connection:
            found = await connection.scalar(select(sites.c.status).where(sites.c.code == site))
        return found == "open"

    async def _what_is_there(self, site: str, type_: str, drift: Drift, tell: Tell) -> None:
        after = None
        while ids := await self._documents.ids_of_type(
            database_of(site), type_, after=after, limit=MOST_AT_ONCE
        ):
            await self._converge(site, ids, drift)
            tell(len(ids))
            after = ids[-1]

    async def _what_is_missing(self, site: str, ids: Sequence[str], drift: Drift, tell: Tell) -> None:
        if not ids:
            return
        there = await self._documents.present(database_of(site), ids)
        if missing := [doc_id for doc_id in ids if doc_id not in there]:
            await self._converge(site, missing, drift)
            tell(len(missing))

    async def _converge(self, site: str, doc_ids: Sequence[str], drift: Drift) -> None:
        database = database_of(site)
        drift.compared += len(doc_ids)
        pending = doc_ids
        conflicts: list[str] = []
        for _ in range(_ROUNDS):
            writes = await self._differing(site, pending, drift)
            if not writes or not self._writes:
                return
            refused = await self._documents.write(database, writes)
            conflicts = [doc_id for doc_id, why in refused.items() if why == CONFLICT]
            problems = {doc_id: why for doc_id, why in refused.items() if why != CONFLICT}
            drift.problems |= problems
            pending = [written["_id"] for written in writes if written["_id"] not in problems]
            if not pending:
                return
        drift.problems |= dict.fromkeys(conflicts, f"another process writes it too ({_ROUNDS} conflicts)")

    async def _differing(self, site: str, doc_ids: Sequence[str], drift: Drift) -> list[Document]:
        """What has to be written so that these are as they have to be now; it is counted in `drift`."""
        current = await self._documents.read(database_of(site), doc_ids)
        async with snapshot(self._engine) as connection:
            wanted = await read_named(connection, site, doc_ids, self._consents)
        writes: list[Document] = []
        for doc_id in doc_ids:
            here, there = current.get(doc_id), wanted.get(doc_id)
            if here is None and there is not None:
                drift.missing.append(doc_id)
                writes.append(there)
            elif here is not None and there is None:
                drift.surplus.append(doc_id)
                writes.append({"_id": doc_id, "_rev": here["_rev"], "_deleted": True})
            elif here is not None and there is not None and canonical(here) != canonical(there):
                drift.different.append(doc_id)
                writes.append({**there, "_rev": here["_rev"]})
        return writes

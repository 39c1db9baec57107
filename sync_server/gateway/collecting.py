"""Session documents of the online path, in their site database: on record first, stored second.

A step reads the winner, makes the next revision from it and stores that with its ancestors. So a step that is
told twice makes the same revision, and two steps at once make two leaves, which the projector merges by task
run as it does those of two tablets; the next step goes on from the winner.

| what happens | outcome |
|---|---|
| the process dies after the record | the entry stays; the caller asks again, the same revision is stored |
| the answer is lost | the caller asks again, and finds it done |
| the site database is away | StoreUnreachable; nothing was acknowledged |
| it refuses the session | SessionRefused; on record like a tablet's |
| the session, or its participant, was erased | SessionErased, and nothing is on record in clear |
| … between that look and the store's | the same; what was put on record is taken away again |
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import msgspec

from replication.client import CouchClient, NotWritten
from replication.errors import CouchError, NotFound, Unavailable
from reporting.collecting.session_document import Document, next_revision
from reporting.erasure.names import REASON, Claims
from reporting.ingest import IngestEntry
from reporting.sites import database_of
from sync_server.api.seams import StoreUnreachable
from sync_server.gateway.access import Record
from sync_server.gateway.erased import ErasedFingerprints
from sync_server.provisioning.design import SiteDesign
from sync_server.site_databases import create_site_database

Step = Callable[[Document], Document]


class StoredSession(msgspec.Struct, frozen=True):
    """A session's document as the site database has it now."""

    rev: str
    document: Document


class SessionErased(Exception):
    """The session, or its participant, was erased on request."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class SessionRefused(Exception):
    """The site database does not take the session, for this reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SessionStore:
    """One site's session documents. `about` names who writes, for the ingest log: device, role, credential,
    request. `design`: how the site's database is made where an Apache CouchDB holds it.
    """

    def __init__(
        self,
        client: CouchClient,
        record: Record,
        erased: ErasedFingerprints,
        *,
        site: str,
        design: SiteDesign | None = None,
        **about: str,
    ) -> None:
        self._client = client
        self._record = record
        self._erased = erased
        self._site = site
        self._design = design
        self._about = about

    async def read(self, session: str) -> StoredSession | None:
        """The winner of a session; None where there is none. Raises StoreUnreachable."""
        try:
            found = await self._client.document(database_of(self._site), f"session:{session}")
        except NotFound:
            return None
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        return StoredSession(found.pop("_rev"), found)

    async def write(self, document: Document, base: StoredSession | None) -> StoredSession:
        """Store the document as the next revision after `base`. Raises SessionErased, SessionRefused,
        StoreUnreachable.
        """
        doc_id = document["_id"]
        claims = Claims(document.get("study"), document.get("participant"), None)
        with _unreachable():
            is_erased = await self._erased.knows(self._site, doc_id, claims)
        if is_erased:
            raise SessionErased
        rev = next_revision(document, None if base is None else base.rev)
        entry = IngestEntry(
            site=self._site, doc_id=doc_id, rev=rev, outcome="received", **_entry(self._about)
        )
        with _unreachable():
            await self._record([entry])
        ids = [rev.partition("-")[2]]
        if base is not None:
            ids.append(base.rev.partition("-")[2])
        revisions = {"start": int(rev.partition("-")[0]), "ids": ids}
        body = msgspec.json.encode({**document, "_rev": rev, "_revisions": revisions})
        try:
            refused = await self._push(body)
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        if refused:
            await self._refuse(entry, refused[0])
        return StoredSession(rev, document)

    async def _refuse(self, entry: IngestEntry, told: NotWritten) -> NoReturn:
        if told.error != "forbidden":
            raise StoreUnreachable(f"{told.error}: {told.reason}")
        if told.reason == REASON:
            # Erased between the look and the store's: of the erased no id stays on record.
            await self._erased.forget_receipt(entry.site, entry.doc_id, entry.rev)
            raise SessionErased
        with _unreachable():
            await self._record([msgspec.structs.replace(entry, outcome="refused", reason=told.reason)])
        raise SessionRefused(told.reason)

    async def _push(self, body: bytes) -> list[NotWritten]:
        database = database_of(self._site)
        try:
            return await self._client.push(database, [body])
        except NotFound:
            # A site at which no tablet was enrolled yet may have none.
            await create_site_database(self._client, self._site, self._design)
            return await self._client.push(database, [body])

    async def step(self, base: StoredSession, step: Step) -> StoredSession:
        """The session after a step; as it is where the step changes nothing. Raises as `write` does, and what
        the step raises.
        """
        document = step(base.document)
        return base if document == base.document else await self.write(document, base)


@contextmanager
def _unreachable() -> Iterator[None]:
    """What `/db` answers as CouchDB would is the API's to say in its own words. Raises StoreUnreachable."""
    try:
        yield
    except Unavailable as error:
        raise StoreUnreachable(error.reason) from error


def _entry(about: dict[str, str]) -> dict[str, Any]:
    return {name: about[name] for name in ("device", "role", "credential", "request_id")}

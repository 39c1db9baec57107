"""From a request's credential to what it may do in the store.

what happens                                   answer
-------------------------------------------    ----------------------------------------------------
no, broken, revoked or unknown credential      401 for the request
another site's database, a closed operation    403 for the request
a document that the policy refuses             `forbidden` in its row, on record, told by receipts
Postgres is away, or does not answer in time,  503 with Retry-After: nothing is acknowledged that is not
while documents arrive                         on record
a document that was erased on request          `forbidden` in its row; only its fingerprint is kept
the process dies after the record              the entry stays, the tablet sends the document again
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import sqlalchemy.exc
import structlog
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from replication.edits import OWNER, Author
from replication.errors import Forbidden, Unauthorized, Unavailable
from replication.http.access import MOST_LOCAL_BYTES, Access, Operation
from replication.http.intake import set_pace
from replication.wire.decode import Incoming, Refusal
from reporting.documents.text import key_text
from reporting.erasure.names import REASON
from reporting.ingest import RECORD_FIRST_RECEIPTS, IngestEntry, entry_parameters
from reporting.sites import site_of
from sync_server import errors
from sync_server.caller_address import caller_address
from sync_server.following import said
from sync_server.gateway.erased import ErasedFingerprints
from sync_server.gateway.open_requests import CREDENTIAL
from sync_server.gateway.site_rights import NoAccess, SiteRights
from sync_server.identity.device_credentials import DeviceCredential
from sync_server.identity.principals import require_device
from sync_server.keys import ACTIVITY, ENGINE, ERASED, OPEN_REQUESTS, PACES, TRAFFIC
from sync_server.middleware import OWN_REQUEST
from sync_server.policy import OPEN, POLICY, refusal_of_write
from sync_server.request_ids import REQUEST_ID
from sync_server.traffic import Pushed

log = structlog.get_logger()

RECORD_SECONDS = 20.0
"""Longest wait for the ingest log. A partitioned Postgres never answers, and a tablet that is told to come
again frees what its request holds.
"""

SAID_ALONE = 25
"""Documents of a request that have a log line each; of more, one line tells: lines of a full batch would cost
as much as putting it on record.
"""

Record = Callable[[Sequence[IngestEntry]], Awaitable[None]]


async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:
    """The access of the request's device. Raises Unauthorized, Forbidden or Unavailable."""
    if operation in OPEN:
        return NoAccess()
    try:
        credential = await require_device(request)
    except errors.NotAuthenticated as error:
        raise Unauthorized(error.message) from error
    except errors.Unavailable as error:
        raise Unavailable(error.message) from error
    if operation not in POLICY[credential.role].operations:
        raise Forbidden(f"a {credential.role} may not {operation.value}")
    if database is not None and not credential.opens(database):
        raise Forbidden("this credential opens another database")
    if credential.site is None:
        request[OWN_REQUEST] = True
        return ServiceAccess(request.app[ERASED])
    await _let_in(request, operation, credential, credential.site)
    record = recorder(request.app[ENGINE])
    return DeviceAccess(
        credential,
        credential.site,
        request[REQUEST_ID],
        record,
        request.app[ERASED],
        pushed=request.app[TRAFFIC].note_pushed,
    )


async def _let_in(
    request: web.Request, operation: Operation, credential: DeviceCredential, site: str
) -> None:
    """Its request counts from now on: for its budget, as activity, as one to be cut when it is revoked.

    Raises TooManyRequests.
    """
    if CREDENTIAL in request:
        return  # a feed that looks whether it is still allowed
    request.app[OPEN_REQUESTS].add(credential.id, request)
    request.app[ACTIVITY].note(
        site=site,
        device=credential.device,
        address=caller_address(request),
        app=request.headers.get("User-Agent"),
        pushes=operation is Operation.REPLICATE_IN,
    )
    pace = request.app[PACES].of(credential.id)
    await pace.begin()
    set_pace(request, pace)


_POSTGRES_AWAY = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.ProgrammingError,  # the schema is not there yet: `migrate` runs beside the start
    sqlalchemy.exc.TimeoutError,
    TimeoutError,
    OSError,
)


def recorder(engine: AsyncEngine) -> Record:
    """What puts first receipts on record; it raises Unavailable where Postgres does not answer in time."""

    async def record(entries: Sequence[IngestEntry]) -> None:
        parameters = entry_parameters(entries)
        try:
            async with asyncio.timeout(RECORD_SECONDS), engine.begin() as connection:
                await connection.execute(RECORD_FIRST_RECEIPTS, parameters)
        except _POSTGRES_AWAY as error:
            log.warning("ingest log not written", error=said(error))
            raise Unavailable("the ingest log cannot be written at the moment; send again") from error

    return record


class ServiceAccess:
    """The server's own processes: everything; what they write was not received from anybody."""

    author: Author = OWNER
    prefixes: tuple[str, ...] | None = None
    most_local_bytes: int = MOST_LOCAL_BYTES

    def __init__(self, erased: ErasedFingerprints) -> None:
        self._erased = erased

    def may_read(self, doc_id: str) -> bool:  # noqa: ARG002 (the interface's)
        """Every document."""
        return True

    def may_use_local(self, local_id: str) -> bool:  # noqa: ARG002 (the interface's)
        """Every checkpoint."""
        return True

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:
        """Everything that could be read and was not erased: replicas may still have it.

        Raises Unavailable.
        """
        site = site_of(database)
        erased = [False] * len(docs) if site is None else await self._erased.find(site, docs)
        return [
            Refusal("forbidden", REASON) if is_erased else incoming.refusal
            for incoming, is_erased in zip(docs, erased, strict=True)
        ]

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:
        """Not on record: nothing was received from a device."""


class DeviceAccess(SiteRights):
    """A tablet's or a hub's rights in the database of its site."""

    def __init__(
        self,
        credential: DeviceCredential,
        site: str,
        request_id: str,
        record: Record,
        erased: ErasedFingerprints,
        *,
        pushed: Pushed,
    ) -> None:
        super().__init__(credential)
        self._site = site
        self._request_id = request_id
        self._record = record
        self._erased = erased
        self._pushed = pushed

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        """Judge the documents and put all of them on record, before any is stored. Raises Unavailable."""
        if not docs:
            return []
        erased = await self._erased.find(self._site, docs)
        if any(erased):
            await self._forget([each for each, is_erased in zip(docs, erased, strict=True) if is_erased])
        reasons = [
            None if is_erased else refusal_of_write(self._credential, incoming)
            for incoming, is_erased in zip(docs, erased, strict=True)
        ]
        judged = [
            (incoming, reason)
            for incoming, reason, is_erased in zip(docs, reasons, erased, strict=True)
            if not is_erased
        ]
        if judged:
            await self._record([self._entry(incoming, reason) for incoming, reason in judged])
        self._say_received([incoming for incoming, reason in judged if reason is None])
        for incoming, reason in judged:
            if reason is not None:
                doc_id, rev = key_text(incoming.id), key_text(incoming.rev or "")
                log.warning("document refused", site=self._site, id=doc_id, rev=rev, reason=reason)
        refused = len(docs) - reasons.count(None) + sum(erased)
        self._pushed(self._site, received=len(docs) - refused, refused=refused)
        # Always `forbidden`: it is the only refusal after which PouchDB goes on with its other documents.
        told = [REASON if is_erased else reason for reason, is_erased in zip(reasons, erased, strict=True)]
        return [None if reason is None else Refusal("forbidden", reason) for reason in told]

    def _say_received(self, docs: Sequence[Incoming]) -> None:
        if len(docs) > SAID_ALONE:
            told = [f"{key_text(incoming.id)} {key_text(incoming.rev or '')}" for incoming in docs]
            log.info("documents received", site=self._site, documents=told)
            return
        for incoming in docs:
            doc_id, rev = key_text(incoming.id), key_text(incoming.rev or "")
            log.info("document received", site=self._site, id=doc_id, rev=rev, notes=incoming.notes)

    async def _forget(self, docs: Sequence[Incoming]) -> None:
        """Keep fingerprints of what was erased, and nothing in clear. Raises Unavailable."""
        try:
            await self._erased.remember(self._site, [incoming.id for incoming in docs])
        except _POSTGRES_AWAY as error:
            raise Unavailable("Postgres cannot be reached at the moment; send again") from error
        log.warning("documents refused", site=self._site, documents=len(docs), reason=REASON)

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:  # noqa: ARG002
        """Put beside their receipts that the store refused them. Raises Unavailable."""
        await self._record([self._entry(incoming, refusal.reason) for incoming, refusal in docs])

    def _entry(self, incoming: Incoming, reason: str | None) -> IngestEntry:
        return IngestEntry(
            site=self._site,
            doc_id=incoming.id,
            rev=incoming.rev or "",
            outcome="received" if reason is None else "refused",
            device=self._credential.device,
            role=self._credential.role,
            credential=self._credential.id,
            request_id=self._request_id,
            reason=reason or "; ".join(incoming.notes) or None,
            original=incoming.original,
        )

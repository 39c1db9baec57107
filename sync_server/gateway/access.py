"""From a request's credential to what it may do in the store.

what happens                                   answer
-------------------------------------------    ----------------------------------------------------
no, broken, revoked or unknown credential      401 for the request
another site's database, a closed operation    403 for the request
a document that the policy refuses             `forbidden` in its row, on record, told by receipts
Postgres is away while documents arrive        503 with Retry-After: nothing is acknowledged that is not
                                               on record
"""

from collections.abc import Awaitable, Callable, Sequence

import sqlalchemy.exc
import structlog
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from replication.errors import Forbidden, Unauthorized, Unavailable
from replication.http.access import Access, Operation
from replication.wire.decode import Incoming, Refusal
from reporting.ingest import IngestEntry, entry_parameters, record_first_receipts
from reporting.sites import site_of
from sync_server import errors
from sync_server.identity.device_credentials import DeviceCredential
from sync_server.identity.principals import require_device
from sync_server.keys import ENGINE
from sync_server.middleware import REQUEST_ID
from sync_server.policy import POLICY, RESERVED_LOCALS, refusal_of_write

log = structlog.get_logger()

Record = Callable[[Sequence[IngestEntry]], Awaitable[None]]


async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:
    """The access of the request's device. Raises Unauthorized, Forbidden or Unavailable."""
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
    if credential.role == "service":
        return ServiceAccess()
    return DeviceAccess(credential, request[REQUEST_ID], _recorder(request.app[ENGINE]))


def _recorder(engine: AsyncEngine) -> Record:
    async def record(entries: Sequence[IngestEntry]) -> None:
        try:
            async with engine.begin() as connection:
                await connection.execute(record_first_receipts(), entry_parameters(entries))
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, OSError) as error:
            raise Unavailable("the ingest log cannot be written at the moment; send again") from error

    return record


class ServiceAccess:
    """The server's own processes: everything; what they write was not received from anybody."""

    prefixes: tuple[str, ...] | None = None

    def may_read(self, doc_id: str) -> bool:  # noqa: ARG002 (the interface's)
        """Every document."""
        return True

    def may_use_local(self, local_id: str) -> bool:  # noqa: ARG002 (the interface's)
        """Every checkpoint."""
        return True

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        """Everything that could be read."""
        return [incoming.refusal for incoming in docs]


class DeviceAccess:
    """A tablet's or a hub's rights in its own site database."""

    def __init__(self, credential: DeviceCredential, request_id: str, record: Record) -> None:
        readable = POLICY[credential.role].readable
        self.prefixes = None if readable is None else tuple(f"{kind}:" for kind in readable)
        self._credential = credential
        self._request_id = request_id
        self._record = record

    def may_read(self, doc_id: str) -> bool:
        """Published documents."""
        return self.prefixes is None or doc_id.startswith(self.prefixes)

    def may_use_local(self, local_id: str) -> bool:
        """A replicator's own checkpoints."""
        return local_id not in RESERVED_LOCALS

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:
        """Judge the documents and put all of them on record, before any is stored."""
        site = site_of(database)
        if site is None or not docs:
            return [incoming.refusal for incoming in docs]
        reasons = [refusal_of_write(self._credential, incoming) for incoming in docs]
        await self._record(
            [self._entry(site, incoming, reason) for incoming, reason in zip(docs, reasons, strict=True)]
        )
        for incoming, reason in zip(docs, reasons, strict=True):
            rev = incoming.rev or ""
            if reason is not None:
                log.warning("document refused", site=site, id=incoming.id, rev=rev, reason=reason)
            else:
                log.info("document received", site=site, id=incoming.id, rev=rev, notes=incoming.notes)
        # Always `forbidden`: it is the only refusal after which PouchDB goes on with its other documents.
        return [None if reason is None else Refusal("forbidden", reason) for reason in reasons]

    def _entry(self, site: str, incoming: Incoming, reason: str | None) -> IngestEntry:
        return IngestEntry(
            site=site,
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

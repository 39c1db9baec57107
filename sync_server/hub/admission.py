"""From a tablet's credential to what it may do in the hub's store; offline.

what happens                                     answer
---------------------------------------------    --------------------------------------------------
no, broken or revoked credential                 401 for the request
another site's, a hub's or a service's; a        403 for the request
closed operation; another database
a document that the policy refuses               `forbidden` in its row, on the journal
a document that was erased here                  `forbidden` in its row; only its fingerprint is kept
the journal cannot be written                    503: nothing is acknowledged that is not on it
no list was ever fetched from the centre         503: the tablet comes again
the process dies after the journal               the entry stays, the tablet sends the document again

The policy is the centre's, by the same function: what is let in here, the centre will take.
"""

from collections.abc import Sequence

import structlog
from aiohttp import web

from replication.errors import Forbidden, Unauthorized, Unavailable
from replication.http.access import Access, Operation
from replication.http.intake import set_pace
from replication.http.users import User
from replication.wire.decode import Incoming, Refusal
from reporting.documents.text import key_text
from reporting.erasure.names import REASON
from sync_server.gateway.open_requests import CREDENTIAL
from sync_server.gateway.site_rights import NoAccess, SiteRights
from sync_server.hub import journal
from sync_server.hub.parts import HUB, Hub, now
from sync_server.hub.records import RecordsFailed
from sync_server.hub.site_list import NotHere, NotLetIn, NotReady
from sync_server.identity.device_credentials import DeviceCredential, extract_token
from sync_server.identity.session_cookie import session_cookie, session_token
from sync_server.policy import OPEN, POLICY, SHOWN_ID_CHARACTERS, refusal_of_write

MOST_REASON_CHARACTERS = 1000

log = structlog.get_logger()


async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:
    """The access of the request's tablet. Raises Unauthorized, Forbidden, Unavailable."""
    if operation in OPEN:
        return NoAccess()
    hub = request.app[HUB]
    credential = tablet_of(hub, request)
    if operation not in POLICY[credential.role].operations:
        raise Forbidden(f"a {credential.role} may not {operation.value}")
    if database is not None and database != hub.settings.database:
        raise Forbidden("this hub has another database")
    await _let_in(hub, request, operation, credential)
    return TabletAccess(hub, credential)


def tablet_of(hub: Hub, request: web.Request) -> DeviceCredential:
    """The tablet that makes the request. Raises Unauthorized, Forbidden, Unavailable."""
    header = request.headers.get("Authorization")
    token = session_token(request) if header is None else extract_token(header)
    return _judged(hub, token)


def _judged(hub: Hub, token: str | None) -> DeviceCredential:
    try:
        return hub.site_list.judge(token, now=now())
    except NotLetIn as error:
        raise Unauthorized(str(error)) from error
    except NotHere as error:
        raise Forbidden(str(error)) from error
    except NotReady as error:
        raise Unavailable(str(error)) from error


async def _let_in(hub: Hub, request: web.Request, operation: Operation, credential: DeviceCredential) -> None:
    """Its request counts from now on. Raises TooManyRequests."""
    if CREDENTIAL in request:
        return  # a feed that looks whether it is still allowed
    hub.open_requests.add(credential.id, request)
    hub.tablets.note(credential.device, now=now(), pushes=operation is Operation.REPLICATE_IN)
    pace = hub.paces.of(credential.id)
    await pace.begin()
    set_pace(request, pace)


class TabletAccess(SiteRights):
    """A tablet's rights in the database of its site."""

    def __init__(self, hub: Hub, credential: DeviceCredential) -> None:
        super().__init__(credential)
        self._hub = hub

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        """Judge the documents and put them on the journal, before any is stored. Raises Unavailable."""
        erased = [self._hub.erased.has(incoming.id, incoming.rev) for incoming in docs]
        reasons = [
            REASON if is_erased else refusal_of_write(self._credential, incoming)
            for incoming, is_erased in zip(docs, erased, strict=True)
        ]
        entries = [
            self._entry(incoming, reason)
            for incoming, reason, is_erased in zip(docs, reasons, erased, strict=True)
            if not is_erased
        ]
        await self._write(entries)
        self._hub.tablets.note_clock(self._credential.device, docs, now=now())
        # Always `forbidden`: it is the only refusal after which PouchDB goes on with its other documents.
        return [None if reason is None else Refusal("forbidden", reason) for reason in reasons]

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:  # noqa: ARG002
        """Put beside their entries that the store refused them. Raises Unavailable."""
        await self._write([self._entry(incoming, each.reason, shown=each.error) for incoming, each in docs])

    async def _write(self, entries: Sequence[journal.Entry]) -> None:
        if not entries:
            return
        try:
            await self._hub.records.do(lambda c: journal.write(c, entries))
        except RecordsFailed as error:
            log.error("journal not written", error=str(error))  # noqa: TRY400 (the store's own line follows)
            raise Unavailable("the hub's journal cannot be written at the moment; send again") from error
        self._hub.wake.set()
        for entry in entries:
            if entry.outcome == "refused":
                log.warning("document refused", id=entry.doc_id, rev=entry.rev, device=entry.device)

    def _entry(self, incoming: Incoming, reason: str | None, *, shown: str | None = None) -> journal.Entry:
        """`shown`: in place of the reason on the page, where that may quote what the document holds."""
        refused = reason is not None
        doc_id, rev = incoming.id, incoming.rev or ""
        return journal.Entry(
            # What is refused may have an id of megabytes, of characters that no text has.
            doc_id=_sane(doc_id) if refused else doc_id,
            rev=_sane(rev) if refused else rev,
            outcome="refused" if refused else "received",
            device=self._credential.device,
            role=self._credential.role,
            credential=self._credential.id,
            received_at=now().isoformat(),
            reason=None if reason is None else _text(reason)[:MOST_REASON_CHARACTERS],
            shown=shown or _shown(incoming, reason),
            original=incoming.original,
        )


def _sane(name: str) -> str:
    return key_text(_text(name))


def _text(told: str) -> str:
    return told.encode("utf-8", "replace").decode()


def _shown(incoming: Incoming, reason: str | None) -> str | None:
    """The reason for a page that anybody on the network may read: nothing that the document holds."""
    if reason is None:
        return None
    if incoming.refusal is not None:
        return incoming.refusal.error
    return reason.replace(repr(incoming.id[:SHOWN_ID_CHARACTERS]), "this document")


class TabletSessions:
    """`Sessions` of tablets with their credentials, as at the centre."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def current(self, request: web.Request) -> User:
        """The tablet; nobody without a credential. Raises Unauthorized, Forbidden, Unavailable."""
        header = request.headers.get("Authorization")
        if header is None and session_token(request) is None:
            return User(None)
        credential = tablet_of(self._hub, request)
        by = "cookie" if header is None else "jwt" if header.lower().startswith("bearer") else "default"
        return User(credential.device, (credential.role,), by)

    async def opened(self, request: web.Request, name: str, password: str) -> tuple[User, str]:
        """The tablet, and the cookie of its session. Raises Unauthorized, Forbidden, Unavailable."""
        credential = _judged(self._hub, password)
        if credential.device != name:
            raise Unauthorized("Name or password is incorrect.")
        cookie = session_cookie(password, secure=request.secure)
        return User(credential.device, (credential.role,), "cookie"), cookie

"""`/api/sync/receipts`: what became of the revisions that a tablet pushed.

Postgres answers for most. It is not enough where the ingest log has a revision that no batch has read: the
log is written *before* the document is stored, so a crash in between leaves an entry for a document that does
not exist. And a revision that is no leaf any more may have been replaced, or be newer than what has been
projected. For those the site database's revision tree is asked; a tablet frees its space on `projected`, so
where the store has lost a revision, the answer is `unknown` and it pushes again.

| Postgres says | the store says | receipt |
|---|---|---|
| a state of its own | (not asked) | that state |
| received, not read; or nothing at all | does not know it, or could not: it is no revision | `unknown` |
| received, not read; or nothing at all | has it | `stored` |
| received, other leaves judged | does not know it | `unknown` |
| received, other leaves judged | became none of those leaves | `stored`: newer than the projection |
| received, other leaves judged | became one of those leaves | that leaf's state |
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec
from aiohttp import web

from replication.values import Rev
from reporting.erasure.names import REASON
from reporting.receipts import DocumentReceipt, PushedRow, Told, read_receipts, select_pushed
from reporting.sites import database_of
from sync_server.api.answers import answer
from sync_server.api.bodies import read_json
from sync_server.api.call import Call, Nothing
from sync_server.api.parameters import Text
from sync_server.api.route import get, plain
from sync_server.errors import NotAllowed, NotFound
from sync_server.gateway.erased import ErasedFingerprints
from sync_server.identity.principals import require_device
from sync_server.keys import ENGINE, ERASED, LEAF_LOOKUP
from sync_server.receipts_asked import ReceiptsRequest

_BODY_LIMIT = 8 * 1024 * 1024

Revision = tuple[str, str]

# Several leaves may descend from one revision: its content counts as far as the luckiest of them got.
_BEST_FIRST = (Told.PROJECTED, Told.CONFLICTED, Told.QUARANTINED, Told.STORED)


class Receipt(msgspec.Struct, frozen=True):
    """`state` is one of documents.md's; `reason` says why, where it is `refused` or `quarantined`."""

    id: str
    rev: str
    state: str
    reason: str | None


class Receipts(msgspec.Struct, frozen=True):
    """What became of them."""

    data: list[Receipt]


class DocumentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which document, by its id: `session:…`."""

    document: Text


class RevisionReceipt(msgspec.Struct, frozen=True):
    """What became of a revision; `via`: the hub that handed it in for the device."""

    rev: str
    device: str
    via: str | None
    received_at: datetime
    state: str
    reason: str | None


class DocumentReceipts(msgspec.Struct, frozen=True):
    """Of one document."""

    site: str
    document: str
    revisions: list[RevisionReceipt]


async def post_receipts(request: web.Request) -> web.Response:
    """Say what became of revisions that a device pushed: one receipt each, in their order."""
    credential = await require_device(request)
    if credential.site is None:
        raise NotAllowed("Receipts are for the devices of a site.")
    body = await read_json(request, ReceiptsRequest, limit=_BODY_LIMIT, any_text=True)
    told = await told_of(request.app, credential.site, [(doc.id, doc.rev) for doc in body.docs])
    erased = request.app.get(ERASED)
    return answer(Receipts([_receipt(r, credential.site, erased) for r in told]))


async def get_document_receipts(call: Call[DocumentQuery, Nothing]) -> DocumentReceipts:
    """What became of every revision of a document that was handed in, the latest first; 100 at most.

    404 where none was, or where the document was erased.
    """
    site, document = call.path("site"), call.query.document
    call.caller.require_at_site("devices.read", site)
    erased = call.request.app.get(ERASED)
    pushed = []
    if erased is None or not erased.knows_document(site, document):
        pushed = [PushedRow(*row) for row in await call.connection.execute(select_pushed(site, document))]
    if not pushed:
        raise NotFound(f"No device of {site} has handed in {document}.")
    revisions = list(dict.fromkeys((document, row.rev) for row in pushed))
    told = {each.rev: each for each in await told_of(call.request.app, site, revisions)}
    return DocumentReceipts(
        site=site,
        document=document,
        revisions=[
            RevisionReceipt(
                rev=row.rev,
                device=row.device,
                via=row.via,
                received_at=row.received_at,
                state=told[row.rev].state.value,
                reason=told[row.rev].reason,
            )
            for row in pushed
        ],
    )


async def told_of(app: web.Application, site: str, asked: Sequence[Revision]) -> list[DocumentReceipt]:
    """The receipts of revisions of a site, in their order. No connection is held while the store is asked,
    which may take as long as a busy store takes.
    """
    engine = app[ENGINE]
    async with engine.connect() as connection:
        receipts = await read_receipts(connection, site, asked)
    open_revisions = _open(receipts)
    leaves: Mapping[Revision, AbstractSet[str]] = {}
    judged: Sequence[DocumentReceipt] = ()
    if open_revisions:
        leaves = await app[LEAF_LOOKUP].descendants(database_of(site), open_revisions)
        async with engine.connect() as connection:
            judged = await read_receipts(connection, site, _judged_descendants(receipts, leaves))
    return resolve(receipts, leaves, judged)


def _receipt(told: DocumentReceipt, site: str, erased: ErasedFingerprints | None) -> Receipt:
    # Nothing in clear is left of what was erased, a refusal neither.
    if erased is not None and erased.knows_document(site, told.id):
        return Receipt(told.id, told.rev, Told.REFUSED.value, REASON)
    return Receipt(told.id, told.rev, told.state.value, told.reason)


def resolve(
    receipts: Sequence[DocumentReceipt],
    leaves: Mapping[Revision, AbstractSet[str]],
    judged: Sequence[DocumentReceipt],
) -> list[DocumentReceipt]:
    """The table of this module: no receipt is left `superseded?`, none says `stored` of what is not there.

    `leaves`: the store's leaves that descend from each open revision; `judged`: Postgres's receipts of those
    among them that it has judged.
    """
    by_revision = {(receipt.id, receipt.rev): receipt for receipt in judged}
    return [
        _resolve(receipt, leaves.get((receipt.id, receipt.rev), frozenset()), by_revision)
        if _is_open(receipt)
        else receipt
        for receipt in receipts
    ]


def _resolve(
    receipt: DocumentReceipt,
    leaves: AbstractSet[str],
    judged: Mapping[Revision, DocumentReceipt],
) -> DocumentReceipt:
    if not leaves and receipt.reason is not None:
        return DocumentReceipt(receipt.id, receipt.rev, Told.REFUSED, receipt.reason)
    if not leaves:
        return DocumentReceipt(receipt.id, receipt.rev, Told.UNKNOWN)
    found = [judged[receipt.id, leaf] for leaf in sorted(leaves) if (receipt.id, leaf) in judged]
    for state in _BEST_FIRST:
        for leaf in found:
            if leaf.state is state:
                reason = None if leaf.reason is None else f"Replaced by {leaf.rev}: {leaf.reason}"
                return DocumentReceipt(receipt.id, receipt.rev, state, reason)
    return DocumentReceipt(receipt.id, receipt.rev, Told.STORED)


def _is_open(receipt: DocumentReceipt) -> bool:
    return receipt.state in (Told.STORED, Told.UNKNOWN, Told.SUPERSEDED_OR_NEWER)


def _open(receipts: Sequence[DocumentReceipt]) -> list[Revision]:
    """What the store is asked. It refuses the whole question for one text that is no revision."""
    return list(dict.fromkeys((r.id, r.rev) for r in receipts if _is_open(r) and _is_revision(r.rev)))


def _is_revision(text: str) -> bool:
    try:
        Rev.parse(text)
    except ValueError:
        return False
    return True


def _judged_descendants(
    receipts: Sequence[DocumentReceipt], leaves: Mapping[Revision, AbstractSet[str]]
) -> list[Revision]:
    pairs = (
        (receipt.id, leaf)
        for receipt in receipts
        if receipt.state is Told.SUPERSEDED_OR_NEWER
        for leaf in sorted(leaves.get((receipt.id, receipt.rev), frozenset()) & frozenset(receipt.leaves))
    )
    return list(dict.fromkeys(pairs))


ROUTES = [
    plain(
        "POST",
        "/api/sync/receipts",
        post_receipts,
        right="device",
        repeatable=True,
        limit=_BODY_LIMIT,
        body=ReceiptsRequest,
        answer=Receipts,
    ),
    get("/api/sync/receipts/{site}", get_document_receipts, right="devices.read"),
]

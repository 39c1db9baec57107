"""What a hub answers beside `/db`: receipts, its status, its health, its CA's certificate.

POST /api/sync/receipts   what became of revisions, as at the centre (see `receipts`)
POST /api/sync/enrol      never possible here: the sentence names the centre
GET  /api/health          the process answers
GET  /, /status.json      how the hub is, for people and for programs
GET  /ca.pem              the site CA's certificate, where the hub made one
"""

from typing import Any

import msgspec
from aiohttp import web

from replication.errors import Forbidden, Unauthorized, Unavailable
from sync_server import errors
from sync_server.hub.admission import tablet_of
from sync_server.hub.parts import HUB, Hub
from sync_server.hub.receipts import (
    Revision,
    askable,
    read_kept,
    resolve,
    want,
)
from sync_server.hub.status import page, read_status
from sync_server.identity.device_credentials import DeviceCredential
from sync_server.receipts_asked import ReceiptsRequest

_BODY_LIMIT = 8 * 1024 * 1024
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


async def post_receipts(request: web.Request) -> web.Response:
    """Say what became of revisions that a tablet pushed: one receipt each, in their order."""
    hub = request.app[HUB]
    _require_tablet(hub, request)
    asked = [(doc.id, doc.rev) for doc in (await _body(request)).docs if _is_text(doc.id + doc.rev)]
    stored = await _stored(hub, asked)
    await hub.records.do(lambda c: want(c, sorted(stored)))
    kept = await hub.records.do(lambda c: read_kept(c, asked))
    told = [resolve(each, kept[each], stored=each in stored, erased=hub.erased.has(*each)) for each in asked]
    return _json({"data": told})


def _require_tablet(hub: Hub, request: web.Request) -> DeviceCredential:
    try:
        return tablet_of(hub, request)
    except Unauthorized as error:
        raise errors.NotAuthenticated(f"{error.reason[:1].upper()}{error.reason[1:]}.") from error
    except Forbidden as error:
        raise errors.NotAllowed(f"{error.reason[:1].upper()}{error.reason[1:]}.") from error
    except Unavailable as error:
        raise errors.Unavailable(error.reason) from error


async def _stored(hub: Hub, asked: list[Revision]) -> set[Revision]:
    """Those that the store has, as leaves or behind one."""
    question = askable(asked)
    if not question:
        return set()
    database = await hub.registry.open(hub.settings.database)
    missing = await database.revs_diff(question)
    return {
        (doc_id, str(rev))
        for doc_id, revs in question.items()
        for rev in revs
        if doc_id not in missing or rev not in missing[doc_id][0]
    }


async def _body(request: web.Request) -> ReceiptsRequest:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise errors.TooLarge(f"The body may have {_BODY_LIMIT} bytes.", details={"limit": _BODY_LIMIT})
    try:
        return msgspec.json.decode(body, type=ReceiptsRequest)
    except msgspec.ValidationError as error:
        raise errors.InvalidRequest(str(error)) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.NotJson(f"The body is not JSON: {error}.") from error


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


async def post_enrol(request: web.Request) -> web.Response:
    """A credential is signed with a key that no hub has."""
    centre = request.app[HUB].settings.centre
    raise errors.NotPossible(
        f"Devices are enrolled at the centre only: {centre}. Once enrolled, a tablet can sync here as well.",
        details={"centre": centre},
    )


async def get_health(request: web.Request) -> web.Response:
    """That there is an answer is the answer."""
    hub = request.app[HUB]
    return _json({"status": "ok", "role": "hub", "site": hub.settings.site, "link_up": hub.state.up})


async def get_status(request: web.Request) -> web.Response:
    """How the hub is, for programs."""
    return _json(await read_status(request.app[HUB]))


async def get_page(request: web.Request) -> web.Response:
    """How the hub is, for people."""
    status = await read_status(request.app[HUB])
    return web.Response(text=page(status), content_type="text/html", charset="utf-8", headers=_PAGE_HEADERS)


async def get_ca(request: web.Request) -> web.Response:
    """The certificate to trust; its fingerprint is in the enrolment QR code."""
    pem = request.app[HUB].ca_pem
    if pem is None:
        raise web.HTTPNotFound(text="This hub made no certificate authority of its own.")
    return web.Response(body=pem, content_type="application/x-pem-file")


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", charset="utf-8")


ROUTES = [
    web.post("/api/sync/receipts", post_receipts),
    web.post("/api/sync/enrol", post_enrol),
    web.get("/api/health", get_health),
    web.get("/status.json", get_status),
    web.get("/ca.pem", get_ca),
    web.get("/", get_page),
]

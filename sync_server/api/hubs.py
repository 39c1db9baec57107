"""`/api/sync/hub`: what a site's hub asks and tells at the centre, with its own credential.

| who asks | answer |
|---|---|
| a hub, about its own site | what is asked; nothing here is about another site |
| a tablet, a service | 403 |
| a revoked hub | 401 |

All of it may be sent again: a status replaces the one before, a journal adds what is new, a purge that was
done is done. A hub says by `version` what it has purged: where more was named meanwhile, nothing is done yet.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from replication.errors import Unavailable as NotReadYet
from reporting.erasure.names import Claims
from reporting.hubs import (
    Hub,
    JournalEntry,
    SiteCredential,
    end_purge,
    everywhere_readable,
    hold_purge,
    journal_rows,
    purges_by_task,
    record_journal,
    select_credentials_of_site,
    select_enrolled,
    select_purges,
    tell_status,
    version_of,
)
from reporting.queries.snapshot import snapshot
from sync_server.api.answers import answer
from sync_server.api.bodies import read_json
from sync_server.api.names import DeviceName
from sync_server.api.parameters import row_number
from sync_server.api.route import BODY_LIMIT, Route, plain
from sync_server.errors import NotAllowed, NotFound, Unavailable
from sync_server.identity.principals import require_device
from sync_server.keys import ENGINE, ERASED, SIGNING_KEY
from sync_server.request_ids import REQUEST_ID

MAX_ENTRIES = 1000
_BODY_LIMIT = 4 * 1024 * 1024

Url = Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+/?$(?!\n)", max_length=300)]
Fingerprint = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$(?!\n)")]
Count = Annotated[int, Meta(ge=0, lt=2**31)]


class PublicKey(msgspec.Struct, frozen=True):
    """A key that checks credentials: its id as tokens name it, and PEM."""

    kid: str
    pem: str


class SiteList(msgspec.Struct, frozen=True):
    """Who may sync at the site. `version` names this state of it."""

    version: str
    site: str
    public_keys: list[PublicKey]
    credentials: list[SiteCredential]


class Entry(msgspec.Struct, frozen=True):
    """One revision that a tablet pushed to the hub; `received_at` by the hub's clock."""

    doc_id: Annotated[str, Meta(min_length=1)]
    rev: str
    device: str
    role: str
    credential: str
    received_at: Annotated[datetime, Meta(tz=True)]


class Journal(msgspec.Struct, frozen=True):
    """A part of the hub's journal, in any order."""

    entries: Annotated[list[Entry], Meta(max_length=MAX_ENTRIES)]


class Recorded(msgspec.Struct, frozen=True):
    """How many entries of it are on record now."""

    recorded: int


class TabletSeen(msgspec.Struct, frozen=True):
    """A tablet, and when it last asked the hub for something."""

    device: DeviceName
    last_seen: Annotated[datetime, Meta(tz=True)]


class HubStatus(msgspec.Struct, frozen=True):
    """How the hub is. `urls` are without a path; `clock` is the hub's."""

    urls: Annotated[list[Url], Meta(max_length=20)]
    ca_fingerprint: Fingerprint | None
    app: Annotated[str, Meta(max_length=100)]
    documents_waiting: Count
    tablets: Annotated[list[TabletSeen], Meta(max_length=1000)]
    storage_free_bytes: Annotated[int, Meta(ge=0, le=2**53)]
    clock: Annotated[datetime, Meta(tz=True)]


class Now(msgspec.Struct, frozen=True):
    """The centre's clock."""

    now: datetime


class Purge(msgspec.Struct, frozen=True):
    """Documents that were erased at the centre: these revisions of each, all of it where there is none.
    `version` names exactly these.
    """

    id: int
    version: str
    documents: dict[str, list[str]]


class Purges(msgspec.Struct, frozen=True):
    """What the hub still has to purge."""

    tasks: list[Purge]


class Purged(msgspec.Struct, frozen=True):
    """What of the task the hub has purged, as it was told."""

    version: Annotated[str, Meta(max_length=100)]


class PurgeDone(msgspec.Struct, frozen=True):
    """`done` false: more was named meanwhile, ask again."""

    done: bool


class SiteListQuery(msgspec.Struct, frozen=True):
    """`since`: the version that the hub has."""

    since: str | None = None


async def get_site(request: web.Request) -> web.Response:
    """Tell a hub who may sync at its site: credentials, revocations, and the keys that check them.

    304 without a body where it is as it was at `since`.
    """
    hub = await _hub(request)
    async with snapshot(request.app[ENGINE]) as connection:
        rows = await connection.execute(select_credentials_of_site(hub.site))
        credentials = [SiteCredential(*row) for row in rows]
    verifier = request.app[SIGNING_KEY].verifier
    keys = [PublicKey(verifier.key_id, verifier.public_pem.decode())]
    told = SiteList(_version(hub.site, keys, credentials), hub.site, keys, credentials)
    if request.query.get("since") == told.version:
        return web.Response(status=304)
    return answer(told)


def _version(site: str, keys: Sequence[PublicKey], credentials: Sequence[SiteCredential]) -> str:
    return hashlib.sha256(msgspec.json.encode([site, keys, credentials])).hexdigest()[:32]


async def post_journal(request: web.Request) -> web.Response:
    """Put on record which device wrote what at a hub. Before or after the documents, and again."""
    hub = await _hub(request)
    body = await read_json(request, Journal, limit=_BODY_LIMIT, any_text=True)
    erased = request.app[ERASED]
    try:
        entries = [
            JournalEntry(each.doc_id, each.rev, each.credential, each.received_at)
            for each in body.entries
            if not await erased.knows(hub.site, each.doc_id, Claims())
        ]
    except NotReadYet as error:
        raise Unavailable("What was erased cannot be read at the moment; send again.") from error
    if entries:
        credentials = sorted({each.credential.replace("\x00", "") for each in entries})
        async with request.app[ENGINE].begin() as connection:
            found = await connection.execute(select_enrolled(hub.site, credentials))
            enrolled = {credential: (device, role) for credential, device, role in found}
            rows = journal_rows(hub, entries, enrolled, request_id=request[REQUEST_ID])
            await connection.execute(record_journal(), rows)
    return answer(Recorded(len(entries)))


async def post_status(request: web.Request) -> web.Response:
    """Keep how a hub is, for its site's people and for tablets that look for it."""
    hub = await _hub(request)
    body = await read_json(request, HubStatus, limit=BODY_LIMIT)
    told = {
        "urls": [url.rstrip("/") for url in body.urls],
        "ca_fingerprint": body.ca_fingerprint,
        "app": body.app,
        "documents_waiting": body.documents_waiting,
        "tablets": [
            {"device": each.device, "last_seen": everywhere_readable(each.last_seen).isoformat()}
            for each in body.tablets
        ],
        "storage_free_bytes": body.storage_free_bytes,
        "clock_at": everywhere_readable(body.clock),
    }
    async with request.app[ENGINE].begin() as connection:
        await connection.execute(tell_status(hub, told))
    return answer(Now(datetime.now(UTC)))


async def get_erasures(request: web.Request) -> web.Response:
    """Tell a hub which documents were erased and have to be purged there too."""
    hub = await _hub(request)
    async with snapshot(request.app[ENGINE]) as connection:
        rows = [(row[0], row[1], row[2]) for row in await connection.execute(select_purges(hub))]
    tasks = purges_by_task(rows).items()
    return answer(Purges([Purge(task, version_of(documents), documents) for task, documents in tasks]))


async def post_erasure_done(request: web.Request) -> web.Response:
    """Hear that a hub has purged what a task named; nothing names it any more then.

    Where more was named since the hub asked, nothing changes and the hub is to ask again.
    """
    hub = await _hub(request)
    body = await read_json(request, Purged, limit=BODY_LIMIT)
    text = request.match_info["id"]
    task = row_number(text)
    async with request.app[ENGINE].begin() as connection:
        if await connection.scalar(hold_purge(hub, task)) is None:
            raise NotFound(f"There is no erasure {text} for this hub.")
        rows = [(row[0], row[1], row[2]) for row in await connection.execute(select_purges(hub, task))]
        documents = purges_by_task(rows).get(task)
        done = documents is None or version_of(documents) == body.version
        if done:
            await connection.execute(end_purge(task))
    return answer(PurgeDone(done))


async def _hub(request: web.Request) -> Hub:
    credential = await require_device(request)
    if credential.role != "hub" or credential.site is None:
        raise NotAllowed("This is for the hub of a site.")
    return Hub(credential.site, credential.device, credential.id)


def _route(method: str, path: str, handler: Any, **about: Any) -> Route:
    return plain(method, f"/api/sync/hub/{path}", handler, right="device", repeatable=True, **about)


ROUTES: list[Route] = [
    _route("GET", "site", get_site, query=SiteListQuery, answer=SiteList, also={304: None}),
    _route("POST", "journal", post_journal, limit=_BODY_LIMIT, body=Journal, answer=Recorded),
    _route("POST", "status", post_status, body=HubStatus, answer=Now),
    _route("GET", "erasures", get_erasures, answer=Purges),
    _route("POST", "erasures/{id}/done", post_erasure_done, body=Purged, answer=PurgeDone),
]

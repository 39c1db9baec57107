"""`/api/session`, `/api/submit`: sessions from a browser that is online.

    POST /api/session/start   a participant sits down: the session's id
    POST /api/submit          one task run with its trials, as often as it is saved
    POST /api/session/end     completed or abandoned

What they write is the session document that a tablet would have written, into the same site database: there
is one pipeline. What a tablet would learn by quarantine is refused here at once, since somebody is there to
mend it. The caller may choose the session's id, and may then repeat each call.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from reporting.collecting.session_document import (
    Document,
    Ended,
    Start,
    ended,
    started,
    with_task_run,
)
from reporting.documents.kinds import BatteryReference, Code, Integer, Invalid, Time
from reporting.documents.validate import validate
from reporting.participants.roster import select_site_of
from reporting.sites import is_site
from reporting.studies.sites import select_site_status
from sync_server.api.call import Call, Nothing
from sync_server.api.idempotency import refuse_key
from sync_server.api.names import SessionId, SiteCode
from sync_server.api.route import Route, get, post
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken
from sync_server.gateway.access import recorder
from sync_server.gateway.collecting import (
    SessionErased,
    SessionRefused,
    SessionStore,
    Step,
    StoredSession,
)
from sync_server.keys import ENGINE, ERASED, SETTINGS, SITE_DATABASES
from sync_server.provisioning.design import site_design
from sync_server.request_ids import REQUEST_ID

SUBMIT_LIMIT = 64 * 1024 * 1024
"""As of one document under `/db`."""

ShortText = Annotated[str, Meta(min_length=1, max_length=100)]


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who sits down to what. `site` where the roster does not say; `started_at` is now unless told."""

    study: Code
    participant: Code
    site: SiteCode | None = None
    id: SessionId | None = None
    visit: Code | None = None
    battery: BatteryReference | None = None
    language: Annotated[str, Meta(min_length=2, max_length=35)] | None = None
    started_at: Time | None = None
    utc_offset_minutes: Annotated[int, Meta(ge=-840, le=840)] | None = None
    app: ShortText | None = None
    os: ShortText | None = None


class SubmittedTaskRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task run as a tablet saves it; `trials` are jsPsych's data rows."""

    task: Code
    run: Integer
    trials: list[dict[str, Any]]
    status: ShortText | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    params: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task run of a session that was started."""

    site: SiteCode
    session: SessionId
    task_run: SubmittedTaskRun


class SessionEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a session ended; `ended_at` is now unless told."""

    site: SiteCode
    session: SessionId
    status: Literal["completed", "abandoned"] = "completed"
    ended_at: Time | None = None


class CollectedSession(msgspec.Struct, frozen=True):
    """A session as the site database has it; the projector comes to it within seconds."""

    id: str
    site: str
    rev: str
    status: str
    task_runs: int


async def start_session(call: Call[Nothing, NewSession]) -> CollectedSession:
    """Start a session; with an `id`, again without harm."""
    wanted = call.body
    if wanted.id is None:
        refuse_key(call.request)
    site = await _site_of(call)
    # Nothing is held in Postgres while the site database is asked.
    await call.connection.rollback()
    call.caller.require("collect", wanted.study, site)
    store = _store(call, site)
    name = wanted.id or str(uuid.uuid4())
    there = await store.read(name)
    if there is not None:
        about = (there.document.get("study"), there.document.get("participant"))
        if about != (wanted.study, wanted.participant):
            raise Taken(f"There is a session {name} already, of somebody else.")
        return _collected(site, there)
    document = started(
        Start(
            id=name,
            study=wanted.study,
            site=site,
            participant=wanted.participant,
            device=_device(call),
            started_at=wanted.started_at or datetime.now(UTC),
            visit=wanted.visit,
            battery=wanted.battery,
            language=wanted.language,
            utc_offset_minutes=wanted.utc_offset_minutes,
            app=wanted.app,
            os=wanted.os,
        )
    )
    _refuse_invalid(document, site)
    with _told_why():
        return _collected(site, await store.write(document, None))


async def submit(call: Call[Nothing, Submission]) -> CollectedSession:
    """Save a task run with its trials; saved again, the last one counts."""
    task_run = {
        name: value
        for name, value in msgspec.to_builtins(call.body.task_run).items()
        if value is not None or name == "trials"
    }
    return await _step(call, call.body.site, call.body.session, lambda doc: with_task_run(doc, task_run))


async def end_session(call: Call[Nothing, SessionEnd]) -> CollectedSession:
    """End a session: completed or abandoned."""
    at = call.body.ended_at or datetime.now(UTC)
    status = call.body.status
    return await _step(call, call.body.site, call.body.session, lambda doc: ended(doc, status, at))


async def get_collected(call: Call[Nothing, Nothing]) -> CollectedSession:
    """A session as the site database has it now, projected or not."""
    site, session = call.path("site"), call.path("session")
    return _collected(site, await _allowed(call, site, session))


async def _step(call: Call[Any, Any], site: str, session: str, step: Step) -> CollectedSession:
    before = await _allowed(call, site, session)

    def checked(document: Document) -> Document:
        after = step(document)
        _refuse_invalid(after, site)
        return after

    try:
        with _told_why():
            return _collected(site, await _store(call, site).step(before, checked))
    except Ended as error:
        status = before.document.get("status")
        raise NotPossible(f"The session is {status}: nothing can be added to it.") from error


@contextmanager
def _told_why() -> Iterator[None]:
    """Raises NotPossible for what the site database will never take."""
    try:
        yield
    except SessionErased as error:
        raise NotPossible("The participant was erased on request: nothing is collected of them.") from error
    except SessionRefused as error:
        raise NotPossible(f"The site database refuses the session: {error.reason}.") from error


async def _allowed(call: Call[Any, Any], site: str, session: str) -> StoredSession:
    """The session, where the caller may collect for its study. Raises NotFound, NotAllowed."""
    scope = call.caller.scope("collect")
    is_there = is_site(site) and scope.covers_site(site)
    found = await _store(call, site).read(session) if is_there else None
    if found is None:
        raise NotFound(f"There is no session {session} at {site}.")
    call.caller.require("collect", str(found.document.get("study")), site)
    return found


async def _site_of(call: Call[Any, NewSession]) -> str:
    """Where the session belongs: an open site. Raises InvalidRequest, NotFound, NotPossible."""
    wanted = call.body
    connection = call.connection
    if not call.caller.scope("collect").sees_study(wanted.study):
        raise NotFound(f"There is no study {wanted.study}.")
    status = await require_study(call, wanted.study)
    if status != "active":
        raise NotPossible(f"Study {wanted.study} is {status}: it collects nothing.")
    site = wanted.site or await connection.scalar(select_site_of(wanted.study, wanted.participant))
    if site is None:
        raise InvalidRequest(
            "Say at which site: the roster does not know the participant's.", details={"path": "$.site"}
        )
    # Further calls name the site alone: what is started where it is not reached could never be ended.
    if not call.caller.scope("collect").covers_site(site):
        raise NotFound(f"There is no site {site}, or {wanted.study} does not run there.")
    if await connection.scalar(select_site_status(site)) != "open":
        raise NotPossible(f"There is no open site {site}.")
    return site


def _store(call: Call[Any, Any], site: str) -> SessionStore:
    app = call.request.app
    return SessionStore(
        app[SITE_DATABASES],
        recorder(app[ENGINE]),
        app[ERASED],
        site=site,
        design=site_design(app[SETTINGS]),
        device=_device(call),
        role="person",
        credential=call.caller.login or f"person:{call.caller.person.id}",
        request_id=call.request[REQUEST_ID],
    )


def _device(call: Call[Any, Any]) -> str:
    return f"browser-{call.caller.person.id}"


def _refuse_invalid(document: Document, site: str) -> None:
    """Raises InvalidRequest for what would be quarantined."""
    body = msgspec.json.encode(document)
    match validate(str(document["_id"]), body, site=site):
        case Invalid() as reason:
            raise InvalidRequest(reason.message, details={"path": reason.path, "code": reason.code})


def _collected(site: str, session: StoredSession) -> CollectedSession:
    document = session.document
    return CollectedSession(
        id=str(document["_id"]).removeprefix("session:"),
        site=site,
        rev=session.rev,
        status=str(document.get("status")),
        task_runs=len(document.get("tasks") or ()),
    )


_REPEATABLE: Any = {"errors": (409,), "transaction": False, "repeatable": True}

ROUTES: list[Route] = [
    post("/api/session/start", start_session, right="collect", status=201, **_REPEATABLE),
    post("/api/submit", submit, right="collect", limit=SUBMIT_LIMIT, **_REPEATABLE),
    post("/api/session/end", end_session, right="collect", **_REPEATABLE),
    get("/api/session/{site}/{session}", get_collected, right="collect"),
]

"""The quarantine desk: retry, patch, waive, no longer waive. For coordinators and admins.

| act | answer |
|---|---|
| retry | 202 and how many documents are projected again; each once, however often it is asked for |
| patch, `dry_run` | 200 and what would become of the revision: valid, or the next problem |
| patch | 201 and the correction; a patch that changes nothing, or that no correction may make, is 422 |
| patch of a revision that is not quarantined (any more) | 409 `changed`; 404 where the document is not |
| waive | the problems that are waived now; those that were already, or are not there, are counted |
"""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta
from sqlalchemy import select

from reporting.audit import record_entry
from reporting.documents.kinds import Correction, Invalid, Session, SessionDocument
from reporting.documents.patches import apply_patches, base_of
from reporting.documents.validate import validate
from reporting.quarantine_desk import (
    Problem,
    delete_waivers,
    insert_retries,
    insert_waivers,
    select_problems,
)
from reporting.sites import database_of
from reporting.tables import quarantine
from sync_server.api.acts import Name, Reason, audited
from sync_server.api.answers import answer
from sync_server.api.bodies import read_json
from sync_server.api.call import Call, Nothing
from sync_server.api.correcting import Written, acting, draft, standing, write
from sync_server.api.route import plain, post
from sync_server.errors import Changed, InvalidRequest, NotFound
from sync_server.identity.access_tokens import Person
from sync_server.identity.callers import Caller
from sync_server.identity.principals import CALLER
from sync_server.keys import CORRECTION_WRITER, ENGINE

_BODY_LIMIT = 1024 * 1024
_PATCH_LIMIT = 32 * 1024 * 1024
"""A patch may replace all trials of a session."""

_MOST_AT_ONCE = 1000

_SESSION = "session:"


class RetryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents by id, or by the code of their problem; with both, those that fit both."""

    site: Name
    doc_ids: Annotated[list[str], Meta(min_length=1, max_length=_MOST_AT_ONCE)] | None = None
    code: Name | None = None
    reason: Reason | None = None


class PatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON merge patch (RFC 7396) for the quarantined revision `rev` of a session."""

    site: Name
    doc_id: Name
    rev: Name
    patch: dict[str, Any]
    reason: Reason
    dry_run: bool = False


class WaivedProblem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the list of quarantined revisions tells it."""

    site: Name
    doc_id: Name
    code: Name
    path: Name


class WaiveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One problem, or `problems`."""

    reason: Reason
    site: Name | None = None
    doc_id: Name | None = None
    code: Name | None = None
    path: Name | None = None
    problems: Annotated[list[WaivedProblem], Meta(min_length=1, max_length=_MOST_AT_ONCE)] | None = None

    def named(self) -> list[Problem]:
        """The problems, each once. Raises InvalidRequest."""
        single = (self.site, self.doc_id, self.code, self.path)
        if self.problems is None:
            if None in single:
                raise InvalidRequest("Name a problem by `site`, `doc_id`, `code` and `path`, or `problems`.")
            found = [Problem(*(str(part) for part in single))]
        else:
            if single != (None, None, None, None):
                raise InvalidRequest("Name either one problem or `problems`.")
            found = [Problem(each.site, each.doc_id, each.code, each.path) for each in self.problems]
        if any("\0" in part for problem in found for part in problem):
            raise InvalidRequest("A problem holds a character that no stored text has.")
        return list(dict.fromkeys(found))


class BecomesSession(msgspec.Struct, frozen=True):
    """The session that a revision becomes; how many task runs and trials it has."""

    study: str
    participant: str
    visit: str | None
    status: str
    started_at: datetime
    tasks: int
    trials: int


class Becomes(msgspec.Struct, frozen=True):
    """What a patch makes of a revision: a session, or the next problem."""

    valid: bool
    code: str | None = None
    path: str | None = None
    message: str | None = None
    session: BecomesSession | None = None


class Retried(msgspec.Struct, frozen=True):
    """How many documents are projected again."""

    replays: int


class Patched(msgspec.Struct, frozen=True):
    """The correction, and what it makes of the revision."""

    correction: Written
    becomes: Becomes


class Tried(msgspec.Struct, frozen=True):
    """What the correction would make of the revision, and the values that it would replace."""

    becomes: Becomes
    base: dict[str, Any]


class Waived(msgspec.Struct, frozen=True):
    """Of the problems named: waived now, waived before, not there."""

    waived: int
    already_waived: int
    not_found: int


class Unwaived(msgspec.Struct, frozen=True):
    """How many problems count as open again."""

    unwaived: int


async def retry(call: Call[Nothing, RetryRequest]) -> Retried:
    """Project quarantined documents again."""
    asked = call.body
    if asked.doc_ids is None and asked.code is None:
        raise InvalidRequest("Say which documents: `doc_ids`, `code` or both.")
    if any("\0" in text for text in (asked.site, asked.code or "", *(asked.doc_ids or ()))):
        raise InvalidRequest("A name holds a character that no stored text has.")
    person = acting(call.caller, study=None, site=asked.site)
    statement = insert_retries(asked.site, doc_ids=asked.doc_ids, code=asked.code, requested_by=person.email)
    replayed = sorted(await call.connection.scalars(statement))
    if replayed:
        entry = audited(
            call.request,
            person,
            action="quarantine.retry",
            entity="site",
            entity_id=asked.site,
            site=asked.site,
            reason=asked.reason,
            after={"code": asked.code, "documents": len(replayed), "doc_ids": replayed[:_MOST_AT_ONCE]},
        )
        await call.connection.execute(record_entry(entry))
    return Retried(len(replayed))


async def patch(request: web.Request) -> web.Response:
    """Patch a quarantined session; with `dry_run`, only say what would become of it (200)."""
    asked = await read_json(request, PatchRequest, limit=_PATCH_LIMIT, any_text=True)
    return await _patch(request, request[CALLER], asked)


async def patch_by_page(call: Call[Nothing, PatchRequest]) -> web.Response:
    """The same, asked by a page of this process."""
    return await _patch(call.request, call.caller, call.body)


async def _patch(request: web.Request, caller: Caller, asked: PatchRequest) -> web.Response:
    if not asked.doc_id.startswith(_SESSION):
        raise InvalidRequest("Only sessions can be patched.", details={"doc_id": asked.doc_id})
    if "\0" in asked.site + asked.doc_id + asked.rev:
        raise InvalidRequest("A name holds a character that no stored text has.")
    person = acting(caller, study=None, site=asked.site)
    session = asked.doc_id.removeprefix(_SESSION)
    await _require_quarantined(request, asked)
    based_on = await standing(request, asked.site, session)
    await _require_quarantined(request, asked)
    body = await request.app[CORRECTION_WRITER].leaf(database_of(asked.site), asked.doc_id, asked.rev)
    if body is None:
        raise Changed(f"The site database no longer has {asked.doc_id} at {asked.rev}: look again.")
    base = await asyncio.to_thread(_base, asked.patch, body)
    document, correction = draft(
        request, person, based_on, reason=asked.reason, kind="patch", patch=asked.patch, base=base
    )
    applied = [each for each in based_on.corrections if each.kind == "patch"]
    becomes = await asyncio.to_thread(_becomes, asked, body, applied, correction)
    if asked.dry_run:
        return answer(Tried(becomes, base))
    written = await write(request, asked.site, document, correction, study=None)
    return answer(Patched(written, becomes), status=201)


async def waive(call: Call[Nothing, WaiveRequest]) -> Waived:
    """Accept problems of quarantined documents."""
    asked = call.body
    problems = asked.named()
    people = _people(call.caller, problems)
    found = {Problem(*row) for row in await call.connection.execute(select_problems(problems))}
    known = [problem for problem in problems if problem in found]
    if not known:
        raise NotFound("No quarantined document has such a problem.")
    statement = insert_waivers(known, reason=asked.reason, waived_by=call.caller.person.email)
    waived = [Problem(*row) for row in await call.connection.execute(statement)]
    for problem in waived:
        entry = audited(
            call.request,
            people[problem.site],
            action="quarantine.waive",
            entity="document",
            entity_id=problem.doc_id,
            site=problem.site,
            reason=asked.reason,
            after={"code": problem.code, "path": problem.path},
        )
        await call.connection.execute(record_entry(entry))
    return Waived(len(waived), len(known) - len(waived), len(problems) - len(known))


async def unwaive(call: Call[Nothing, WaiveRequest]) -> Unwaived:
    """Count accepted problems as open again."""
    asked = call.body
    problems = asked.named()
    people = _people(call.caller, problems)
    ended = (await call.connection.execute(delete_waivers(problems))).all()
    for site, doc_id, code, path, reason, waived_by in ended:
        entry = audited(
            call.request,
            people[site],
            action="quarantine.unwaive",
            entity="document",
            entity_id=doc_id,
            site=site,
            reason=asked.reason,
            before={"code": code, "path": path, "reason": reason, "waived_by": waived_by},
        )
        await call.connection.execute(record_entry(entry))
    return Unwaived(len(ended))


def _people(caller: Caller, problems: list[Problem]) -> dict[str, Person]:
    """By site, the caller in the role in which they decide there. Raises NotAllowed, NotFound."""
    return {site: acting(caller, study=None, site=site) for site in sorted({each.site for each in problems})}


async def _require_quarantined(request: web.Request, asked: PatchRequest) -> None:
    q = quarantine.c
    async with request.app[ENGINE].connect() as connection:
        revs = list(
            await connection.scalars(select(q.rev).where(q.site == asked.site, q.doc_id == asked.doc_id))
        )
    if not revs:
        raise NotFound(f"{asked.doc_id} is not quarantined in site {asked.site}.")
    if asked.rev not in revs:
        raise Changed(
            f"{asked.doc_id} is not quarantined at {asked.rev} any more: look again.",
            details={"revs": sorted(revs)},
        )


def _base(changes: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Raises InvalidRequest where there is nothing that a patch could be applied to."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The document cannot be read, so it cannot be patched.") from error
    if not isinstance(document, dict):
        raise InvalidRequest("The document is no object, so it cannot be patched.")
    return base_of(changes, document)


def _becomes(asked: PatchRequest, body: bytes, applied: list[Correction], correction: Correction) -> Becomes:
    """Raises InvalidRequest for a patch that changes nothing."""
    patched = apply_patches(body, [*applied, correction]).body
    if patched == apply_patches(body, applied or [correction._replace(patch={})]).body:
        raise InvalidRequest("The patch changes nothing.")
    found = validate(asked.doc_id, patched, site=asked.site)
    if isinstance(found, Invalid):
        return Becomes(False, *found)
    return Becomes(True, session=_session(found.document) if isinstance(found, Session) else None)


def _session(document: SessionDocument) -> BecomesSession:
    return BecomesSession(
        study=document.study,
        participant=document.participant,
        visit=document.visit,
        status=document.status,
        started_at=document.started_at,
        tasks=len(document.tasks),
        trials=sum(len(run.trials) for run in document.tasks),
    )


ROUTES = [
    post(
        "/api/quarantine/retry", retry, right="results.decide", status=202, limit=_BODY_LIMIT, any_text=True
    ),
    plain(
        "POST",
        "/api/quarantine/patch",
        patch,
        right="results.decide",
        status=201,
        errors=(409,),
        limit=_PATCH_LIMIT,
        body=PatchRequest,
        answer=Patched,
        also={200: Tried},
        asked=patch_by_page,
    ),
    post("/api/quarantine/waive", waive, right="results.decide", limit=_BODY_LIMIT, any_text=True),
    post("/api/quarantine/unwaive", unwaive, right="results.decide", limit=_BODY_LIMIT, any_text=True),
]

"""`/api/redcap/{study}/preview`: what a push would change in REDCap, cell by cell; and asking for a push.

| what happens | answer |
|---|---|
| REDCap cannot be asked, or a site has no connection | 200: told in `unreachable`, with how many sessions |
| the study has no mapping | 404 |
| many sessions | a page at a time: one read of REDCap each |
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import func, select

from reporting.redcap.mapping_text import read_mapping
from reporting.redcap.preview_rows import select_page
from reporting.redcap.projects import select_mapping
from reporting.redcap.requests import resync
from reporting.tables import outbox
from sync_server.api.acts import Reason
from sync_server.api.call import Call, Nothing
from sync_server.api.names import SiteCode
from sync_server.api.redcap_parts import redcaps_of
from sync_server.api.route import Route, post
from sync_server.errors import NotFound
from sync_server.redcap.previewing import Preview, preview

_SessionId = Annotated[str, Meta(min_length=1, max_length=200)]


class Previewing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of all sessions of the study, of a site, or of these."""

    site: SiteCode | None = None
    sessions: Annotated[list[_SessionId], Meta(min_length=1, max_length=100)] | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=100)] = 50


class PreviewPage(Preview, frozen=True, kw_only=True):
    """Of a page of sessions, in one order; `total` of all of them."""

    page: int
    per_page: int
    total: int


class Pushing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a site only, or of all; why."""

    site: SiteCode | None = None
    reason: Reason | None = None


class Entered(msgspec.Struct, frozen=True):
    """How many sessions are brought to REDCap now."""

    sessions: int


async def preview_push(call: Call[Nothing, Previewing]) -> PreviewPage:
    """Compare a page of sessions with REDCap, and change nothing: per session and form what would be created,
    updated, is unchanged, was edited by a person or is blocked; per cell what was last sent, what REDCap has,
    and what it would be.
    """
    study, body = call.path("study"), call.body
    scope = call.caller.scope("redcap.read")
    if not scope.sees_study(study):
        call.caller.require("redcap.read", study)
    definition = await _mapping(call, study)
    matching = select_page(study, scope, site=body.site, ids=body.sessions)
    total = await call.connection.scalar(select(func.count()).select_from(matching.subquery()))
    page = matching.limit(body.per_page).offset((body.page - 1) * body.per_page)
    sessions = [(site, session) for site, session in await call.connection.execute(page)]
    found = await preview(call.connection, study, read_mapping(definition), sessions, redcaps_of(call))
    return PreviewPage(
        **msgspec.structs.asdict(found), page=body.page, per_page=body.per_page, total=total or 0
    )


async def push_study(call: Call[Nothing, Pushing]) -> Entered:
    """Have all sessions of the study, or of a site, brought to REDCap again; what is right stays as it is."""
    study, body = call.path("study"), call.body
    call.caller.require("redcap.manage", study, body.site)
    await _mapping(call, study)
    entered = await call.connection.execute(resync(study, site=body.site).returning(outbox.c.id))
    count = len(entered.all())
    await call.record(
        "redcap_mapping.push",
        "redcap_mapping",
        study,
        study=study,
        site=body.site,
        reason=body.reason,
        after={"sessions": count},
    )
    return Entered(count)


async def _mapping(call: Call[Any, Any], study: str) -> Any:
    definition = await call.connection.scalar(select_mapping(study))
    if definition is None:
        raise NotFound(f"{study} has no mapping.")
    return definition


ROUTES: list[Route] = [
    post("/api/redcap/{study}/preview", preview_push, right="redcap.read", transaction=False),
    post("/api/redcap/{study}/push", push_study, right="redcap.manage", status=202),
]

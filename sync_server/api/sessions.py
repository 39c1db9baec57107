"""`/api/sessions`: finding sessions, one session with its scores, its trials. Any person may read."""

from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.sessions import (
    SessionFilter,
    TrialFilter,
    list_sessions,
    list_trials,
    read_session,
    select_sites,
)
from reporting.queries.sites import read_complete_through
from reporting.queries.snapshot import Page, snapshot
from sync_server.api.answers import answer, answer_page
from sync_server.api.parameters import (
    PageQuery,
    RunNumber,
    Text,
    first_moment,
    last_moment,
    read_query,
)
from sync_server.api.route import plain
from sync_server.errors import Ambiguous, NotFound
from sync_server.identity.principals import require_person
from sync_server.keys import ENGINE


class SessionsQuery(PageQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`from` and `to`, both included, bound `started_at`: a time with its zone, or a whole date (UTC)."""

    study: Text | None = None
    site: Text | None = None
    participant: Text | None = None
    visit: Text | None = None
    status: Literal["in_progress", "completed", "abandoned"] | None = None
    from_: Text | None = None
    to: Text | None = None


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`site` is needed where the id exists in more than one."""

    site: Text | None = None


class TrialsQuery(SessionQuery, frozen=True, kw_only=True):
    """Which trials of the session; up to 5,000 a page."""

    task: Text | None = None
    run: RunNumber | None = None
    stage: Text | None = None
    page: Annotated[int, Meta(ge=1, le=10_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=5000)] = 1000


async def get_sessions(request: web.Request) -> web.Response:
    """`GET /api/sessions` → a page of SessionRow, the latest first.

    `complete_through` says by site through when the list is complete: of every site that could have had such
    a session, also where none has.
    """
    await require_person(request)
    query = read_query(request, SessionsQuery)
    wanted = SessionFilter(
        study=query.study,
        site=query.site,
        participant=query.participant,
        visit=query.visit,
        status=query.status,
        started_from=first_moment(query.from_, "from"),
        started_to=last_moment(query.to, "to"),
    )
    async with snapshot(request.app[ENGINE]) as connection:
        listed = await list_sessions(connection, wanted, query.wanted_page)
        complete_through = await read_complete_through(connection, site=query.site)
    return answer_page(listed, query.wanted_page, complete_through=complete_through)


async def get_session(request: web.Request) -> web.Response:
    """`GET /api/sessions/{id}` → the session's columns, with `task_runs`, `scores` and `flags`."""
    await require_person(request)
    query = read_query(request, SessionQuery)
    session_id = request.match_info["id"]
    async with snapshot(request.app[ENGINE]) as connection:
        site = await _site_of(connection, session_id, query.site)
        found = await read_session(connection, site=site, session_id=session_id)
    body: dict[str, Any] = msgspec.structs.asdict(found.session)
    return answer({**body, "task_runs": found.task_runs, "scores": found.scores, "flags": found.flags})


async def get_trials(request: web.Request) -> web.Response:
    """`GET /api/sessions/{id}/trials` → a page of TrialRow, by task, run and trial index."""
    await require_person(request)
    query = read_query(request, TrialsQuery)
    session_id = request.match_info["id"]
    page = Page(number=query.page, size=query.per_page)
    wanted = TrialFilter(task=query.task, run=query.run, stage=query.stage)
    async with snapshot(request.app[ENGINE]) as connection:
        site = await _site_of(connection, session_id, query.site)
        listed = await list_trials(connection, site=site, session_id=session_id, wanted=wanted, page=page)
    return answer_page(listed, page)


async def _site_of(connection: AsyncConnection, session_id: str, site: str | None) -> str:
    """The one site whose session is meant. Raises NotFound or Ambiguous."""
    # Postgres text holds no NUL, so no session has such an id.
    sites = [] if "\0" in session_id else list(await connection.scalars(select_sites(session_id, site)))
    if not sites:
        where = "" if site is None else f" in site {site}"
        raise NotFound(f"There is no session {session_id}{where}.")
    if len(sites) > 1:
        raise Ambiguous(
            f"Session {session_id} exists in {len(sites)} sites: say which with ?site=.",
            details={"sites": sites},
        )
    return sites[0]


ROUTES = [
    plain("GET", "/api/sessions", get_sessions, right="results.read"),
    plain("GET", "/api/sessions/{id}", get_session, right="results.read"),
    plain("GET", "/api/sessions/{id}/trials", get_trials, right="results.read"),
]

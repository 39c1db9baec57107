"""`/api/sessions`: finding sessions, one session with its scores, its trials. Any person may read those of
their studies and sites.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from reporting.queries.sessions import (
    LATEST_FIRST,
    SORTABLE,
    FlagRow,
    ScoreRow,
    SessionFilter,
    SessionRow,
    TaskRunRow,
    TrialFilter,
    TrialRow,
    list_trials,
    read_session,
    select_sessions,
    select_sites,
)
from reporting.queries.sites import read_complete_through
from reporting.queries.snapshot import Page
from sync_server.api.answers import page_of
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import RunNumber, Text, first_moment, last_moment
from sync_server.api.route import get
from sync_server.errors import Ambiguous, NotFound


class SessionsQuery(ListQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
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


class SessionsPage(PageOf[SessionRow], frozen=True):
    """`complete_through` says by site through when the list is complete; null: not known."""

    complete_through: dict[str, datetime | None]


class SessionAnswer(SessionRow, frozen=True):
    """A session with everything but its trials."""

    task_runs: list[TaskRunRow]
    scores: list[ScoreRow]
    flags: list[FlagRow]


async def get_sessions(call: Call[SessionsQuery, Nothing]) -> SessionsPage:
    """List sessions, the latest first.

    `complete_through` says by site through when the list is complete: of every site that could have had such
    a session, also where none has.
    """
    query, scope = call.query, call.caller.scope("results.read")
    wanted = SessionFilter(
        study=query.study,
        site=query.site,
        participant=query.participant,
        visit=query.visit,
        status=query.status,
        started_from=first_moment(query.from_, "from"),
        started_to=last_moment(query.to, "to"),
    )
    page = await call.page(SessionRow, select_sessions(wanted, scope), sortable=SORTABLE, key=LATEST_FIRST)
    complete_through = await read_complete_through(call.connection, site=query.site, scope=scope)
    return SessionsPage(page.data, page.pagination, complete_through)


async def get_session(call: Call[SessionQuery, Nothing]) -> SessionAnswer:
    """Read a session, with its task runs, scores and flags."""
    session_id = call.path("id")
    site = await _site_of(call, session_id, call.query.site)
    found = await read_session(call.connection, site=site, session_id=session_id)
    own: dict[str, Any] = msgspec.structs.asdict(found.session)
    return SessionAnswer(**own, task_runs=found.task_runs, scores=found.scores, flags=found.flags)


async def get_trials(call: Call[TrialsQuery, Nothing]) -> PageOf[TrialRow]:
    """List the trials of a session, by task, run and trial index."""
    query, session_id = call.query, call.path("id")
    page = Page(number=query.page, size=query.per_page)
    wanted = TrialFilter(task=query.task, run=query.run, stage=query.stage)
    site = await _site_of(call, session_id, query.site)
    listed = await list_trials(call.connection, site=site, session_id=session_id, wanted=wanted, page=page)
    return PageOf(listed.rows, page_of(listed, page))


async def _site_of(call: Call[Any, Any], session_id: str, site: str | None) -> str:
    """The one site whose session is meant. Raises NotFound or Ambiguous."""
    statement = select_sites(session_id, site, call.caller.scope("results.read"))
    sites = list(await call.connection.scalars(statement))
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
    get("/api/sessions", get_sessions, right="results.read"),
    get("/api/sessions/{id}", get_session, right="results.read", errors=(409,)),
    get("/api/sessions/{id}/trials", get_trials, right="results.read", errors=(409,)),
]

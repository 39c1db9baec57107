"""`/api/dashboard`: how studies and sites are doing, at one moment."""

from typing import Annotated

import msgspec
from msgspec import Meta

from reporting.queries.dashboard import MOST_ROWS, Dashboard, narrowed, read_dashboard
from sync_server.api.call import Call, Nothing
from sync_server.api.route import Route, get
from sync_server.api.study_rows import read_study
from sync_server.api.visits import today_by_timezone
from sync_server.errors import NotFound


class DashboardQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`sites`: so many, those first that need a person; without, up to 500 by name."""

    sites: Annotated[int, Meta(ge=1, le=MOST_ROWS)] | None = None


async def get_dashboard(call: Call[DashboardQuery, Nothing]) -> Dashboard:
    """Active studies, recent sessions, visits to come and overdue, curves, and how sites sync."""
    scope = call.caller.scope("dashboard.read")
    return await read_dashboard(
        call.connection, scope, await today_by_timezone(call), health=scope, most_sites=call.query.sites
    )


async def get_study_dashboard(call: Call[DashboardQuery, Nothing]) -> Dashboard:
    """The same of one study and its sites."""
    study, scope = call.path("study"), call.caller.scope("dashboard.read")
    if not scope.sees_study(study):
        raise NotFound(f"There is no study {study}.")
    own = narrowed(scope, study)
    sites = [site for site in sorted((await read_study(call, study)).sites) if own.covers(study, site)]
    return await read_dashboard(
        call.connection,
        own,
        await today_by_timezone(call),
        study=study,
        study_sites=sites,
        health=scope,
        most_sites=call.query.sites,
    )


ROUTES: list[Route] = [
    get("/api/dashboard", get_dashboard, right="dashboard.read"),
    get("/api/dashboard/{study}", get_study_dashboard, right="dashboard.read"),
]

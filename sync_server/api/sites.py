"""`/api/sites`: how each site stands, and which tablets still hold documents. Any person may read."""

from typing import Any

import msgspec
from aiohttp import web

from reporting.queries.sites import list_devices, list_sites, read_site
from reporting.queries.snapshot import snapshot
from sync_server.api.answers import answer, answer_page
from sync_server.api.parameters import PageQuery, read_query
from sync_server.api.route import plain
from sync_server.errors import NotFound
from sync_server.identity.principals import require_person
from sync_server.keys import ENGINE


class SiteQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing may be asked of one site."""


async def get_sites(request: web.Request) -> web.Response:
    """`GET /api/sites` → a page of SiteRow, by name."""
    await require_person(request)
    query = read_query(request, PageQuery)
    async with snapshot(request.app[ENGINE]) as connection:
        listed = await list_sites(connection, query.wanted_page)
    return answer_page(listed, query.wanted_page)


async def get_site(request: web.Request) -> web.Response:
    """`GET /api/sites/{site}` → its SiteRow, with `devices`."""
    await require_person(request)
    read_query(request, SiteQuery)
    name = request.match_info["site"]
    async with snapshot(request.app[ENGINE]) as connection:
        # Postgres text holds no NUL, so no site has such a name.
        site = None if "\0" in name else await read_site(connection, name)
        if site is None:
            raise NotFound(
                f"There is no site {name}: no device is enrolled in it, and nothing was projected."
            )
        devices = await list_devices(connection, name)
    body: dict[str, Any] = msgspec.structs.asdict(site)
    return answer({**body, "devices": devices})


ROUTES = [
    plain("GET", "/api/sites", get_sites, right="sites.read"),
    plain("GET", "/api/sites/{site}", get_site, right="sites.read"),
]

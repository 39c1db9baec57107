"""`/api/quarantine`: what was stored but could not become rows, and why. Any person may read.

What is done about it is in `quarantine_desk`.
"""

from typing import Literal

from aiohttp import web

from reporting.queries.quarantine import QuarantineFilter, list_groups, list_quarantine
from reporting.queries.snapshot import snapshot
from sync_server.api.answers import answer_page
from sync_server.api.parameters import PageQuery, Text, read_query
from sync_server.api.route import plain
from sync_server.identity.principals import require_person
from sync_server.keys import ENGINE


class QuarantineQuery(PageQuery, frozen=True, kw_only=True):
    """`code` is the reason's, `type` the document's type (`session`, `consent`, …)."""

    site: Text | None = None
    code: Text | None = None
    type: Text | None = None
    waived: Literal["true", "false"] | None = None

    @property
    def wanted(self) -> QuarantineFilter:
        waived = None if self.waived is None else self.waived == "true"
        return QuarantineFilter(site=self.site, code=self.code, type=self.type, waived=waived)


async def get_quarantine(request: web.Request) -> web.Response:
    """`GET /api/quarantine` → a page of QuarantineRow, the latest first."""
    await require_person(request)
    query = read_query(request, QuarantineQuery)
    async with snapshot(request.app[ENGINE]) as connection:
        listed = await list_quarantine(connection, query.wanted, query.wanted_page)
    return answer_page(listed, query.wanted_page)


async def get_groups(request: web.Request) -> web.Response:
    """`GET /api/quarantine/groups` → a page of QuarantineGroup, the largest first."""
    await require_person(request)
    query = read_query(request, QuarantineQuery)
    async with snapshot(request.app[ENGINE]) as connection:
        listed = await list_groups(connection, query.wanted, query.wanted_page)
    return answer_page(listed, query.wanted_page)


ROUTES = [
    plain("GET", "/api/quarantine", get_quarantine, right="results.read"),
    plain("GET", "/api/quarantine/groups", get_groups, right="results.read"),
]

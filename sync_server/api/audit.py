"""`/api/audit`: who did what, when and why. For coordinators and admins."""

from aiohttp import web

from reporting.queries.audit import AuditFilter, list_audit
from reporting.queries.snapshot import snapshot
from sync_server.api.answers import answer_page
from sync_server.api.parameters import PageQuery, Text, first_moment, last_moment, read_query
from sync_server.api.route import plain
from sync_server.identity.principals import require_coordinator
from sync_server.keys import ENGINE


class AuditQuery(PageQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`from` and `to`, both included: a time with its zone, or a whole date (UTC)."""

    entity: Text | None = None
    entity_id: Text | None = None
    site: Text | None = None
    actor: Text | None = None
    from_: Text | None = None
    to: Text | None = None


async def get_audit(request: web.Request) -> web.Response:
    """`GET /api/audit` → a page of AuditRow, the latest first."""
    await require_coordinator(request)
    query = read_query(request, AuditQuery)
    wanted = AuditFilter(
        entity=query.entity,
        entity_id=query.entity_id,
        site=query.site,
        actor=query.actor,
        at_from=first_moment(query.from_, "from"),
        at_to=last_moment(query.to, "to"),
    )
    async with snapshot(request.app[ENGINE]) as connection:
        listed = await list_audit(connection, wanted, query.wanted_page)
    return answer_page(listed, query.wanted_page)


ROUTES = [
    plain("GET", "/api/audit", get_audit, right="audit.read"),
]

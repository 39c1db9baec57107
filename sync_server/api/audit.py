"""`/api/audit`: who did what, when and why. For coordinators and admins, of their studies and sites."""

from reporting.queries.audit import ENTRY, LATEST_FIRST, SORTABLE, AuditFilter, AuditRow, select_audit
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text, first_moment, last_moment
from sync_server.api.route import get


class AuditQuery(ListQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`from` and `to`, both included: a time with its zone, or a whole date (UTC)."""

    entity: Text | None = None
    entity_id: Text | None = None
    site: Text | None = None
    study: Text | None = None
    actor: Text | None = None
    from_: Text | None = None
    to: Text | None = None


async def get_audit(call: Call[AuditQuery, Nothing]) -> PageOf[AuditRow]:
    """List who did what, the latest first."""
    query = call.query
    wanted = AuditFilter(
        entity=query.entity,
        entity_id=query.entity_id,
        site=query.site,
        study=query.study,
        actor=query.actor,
        at_from=first_moment(query.from_, "from"),
        at_to=last_moment(query.to, "to"),
    )
    statement = select_audit(wanted, call.caller.scope("audit.read"))
    return await call.page(AuditRow, statement, sortable=SORTABLE, key=LATEST_FIRST, identity=(ENTRY,))


ROUTES = [
    get("/api/audit", get_audit, right="audit.read"),
]

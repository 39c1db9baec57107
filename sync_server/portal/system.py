"""Who did what (audit), and how the system is (health)."""

from typing import Any

import msgspec

from sync_server.api.parameters import Text
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.pages import Look, Page, Values

AUDIT = api("GET", "/api/audit")
HEALTH = api("GET", "/api/health/detailed")
JOBS = api("GET", "/api/jobs")


class AuditFilters(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """As the route takes them."""

    actor: Text | None = None
    entity: Text | None = None
    entity_id: Text | None = None
    study: Text | None = None
    site: Text | None = None
    from_: Text | None = None
    to: Text | None = None
    page: Text = "1"


async def audit(look: Look) -> Values:
    """The log, the latest first."""
    wanted: dict[str, Any] = msgspec.to_builtins(look.filters)
    return {"entries": await look.ask(AUDIT, **wanted), "wanted": wanted}


async def health(look: Look) -> Values:
    """Each dependency, each site's projection, what waits and what was given up."""
    return {
        "health": await look.ask(HEALTH),
        "given_up": await look.ask(JOBS, state="dead", per_page=20),
    }


PAGES = [
    Page(
        name="audit",
        path=f"{PATH}/audit",
        template="audit.html",
        view=audit,
        reads=(AUDIT,),
        filters=AuditFilters,
    ),
    Page(
        name="health",
        path=f"{PATH}/health",
        template="health.html",
        view=health,
        reads=(HEALTH, JOBS),
        live=("health",),
    ),
]

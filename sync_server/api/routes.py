"""Every route of the API."""

from aiohttp import web

from sync_server.api import (
    audit,
    auth,
    conflicts,
    health,
    metrics,
    quarantine,
    quarantine_desk,
    receipts,
    sessions,
    sites,
)

API_ROUTES: list[web.RouteDef] = [
    web.get("/api/health", health.alive),
    web.get("/api/health/detailed", health.detailed),
    web.get("/api/metrics", metrics.get_metrics),
    web.post("/api/auth/login", auth.log_in),
    web.get("/api/auth/me", auth.me),
    web.get("/api/sessions", sessions.get_sessions),
    web.get("/api/sessions/{id}", sessions.get_session),
    web.get("/api/sessions/{id}/trials", sessions.get_trials),
    web.get("/api/sites", sites.get_sites),
    web.get("/api/sites/{site}", sites.get_site),
    web.get("/api/conflicts", conflicts.get_conflicts),
    web.get("/api/conflicts/{session}", conflicts.get_conflict),
    web.post("/api/conflicts/{session}/resolve", conflicts.resolve),
    web.get("/api/quarantine", quarantine.get_quarantine),
    web.get("/api/quarantine/groups", quarantine.get_groups),
    web.post("/api/quarantine/retry", quarantine_desk.retry),
    web.post("/api/quarantine/patch", quarantine_desk.patch),
    web.post("/api/quarantine/waive", quarantine_desk.waive),
    web.post("/api/quarantine/unwaive", quarantine_desk.unwaive),
    web.get("/api/audit", audit.get_audit),
    web.post("/api/sync/receipts", receipts.post_receipts),
]

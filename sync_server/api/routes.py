"""Every route of the API."""

from aiohttp import web

from sync_server.api import auth, health, metrics, quarantine, receipts, sessions, sites

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
    web.get("/api/quarantine", quarantine.get_quarantine),
    web.post("/api/sync/receipts", receipts.post_receipts),
]

"""`/api/sync`: enrolling, watching and revoking tablets."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

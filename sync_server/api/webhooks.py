"""`/api/webhooks`: who is told what happened."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

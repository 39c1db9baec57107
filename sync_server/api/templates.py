"""`/api/templates`: studies to start from."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

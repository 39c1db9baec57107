"""`/api/batteries`: ordered tasks, drafted and published."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

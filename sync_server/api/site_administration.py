"""`/api/sites`: making, changing and archiving sites."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

"""`/api/schedules`: when a study's visits are due."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

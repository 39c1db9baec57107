"""`/api/modules`: reusable tasks and their parameters."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

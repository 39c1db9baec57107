"""`/api/dashboard`: how studies and sites are doing."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

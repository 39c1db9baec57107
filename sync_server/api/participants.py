"""`/api/participants`: the roster."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

"""`/api/visits`: a participant's planned occasions."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

"""`/api/session`, `/api/submit`: sessions from a browser that is online."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

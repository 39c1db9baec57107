"""`/api/users`: people's accounts and what they may do where."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

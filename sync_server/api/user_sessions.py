"""`/api/user-sessions`: logins of people, and ending them."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

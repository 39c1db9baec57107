"""`/api/studies`: studies, their sites and their batteries."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

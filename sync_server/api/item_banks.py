"""`/api/item-banks`: calibrated items for adaptive tasks."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

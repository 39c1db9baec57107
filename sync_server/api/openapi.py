"""`/api/openapi.json` and `/api/docs`: the API's own specification."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

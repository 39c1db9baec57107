"""`/api/consent`: forms, signed consents, withdrawals."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

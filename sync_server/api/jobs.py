"""`/api/jobs`: what is waiting, failed or given up in the outbox."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

"""`/api/participants/…/erasure`: erasing a participant's data, by two people."""

from sync_server.api.route import Route

ROUTES: list[Route] = []

"""What this process served, counted as it goes along, for `GET /api/metrics`.

Every process counts for itself, from zero at its start: Prometheus scrapes each one and adds up. What holds
for the system as a whole is asked of Postgres instead, see `api.metrics`. Labels are routes, methods,
statuses and sites; there is nothing of a participant in them.
"""

import time
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sync_server.areas import is_below

WAITING_FEEDS: Final = ("longpoll", "continuous", "eventsource", "live")
_NO_ROUTE: Final = "none"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "COPY", "OPTIONS"})
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


_AREAS: Final = ("db", "portal")


class Pushed(Protocol):
    """Hears of documents that a device of a site pushed."""

    def __call__(self, site: str, *, received: int, refused: int) -> None:
        """So many were let through, so many not."""


class Traffic:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "metricis_requests",
            "Requests that were answered, by this process.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "metricis_request_seconds",
            "From a request to the end of its answer, feeds that wait left out.",
            ("area",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._feeds = Gauge(
            "metricis_feeds_open",
            "Feeds and pages that wait for changes, at this process.",
            registry=self.registry,
        )
        self._feeds.set(0)
        self._pushed = Counter(
            "metricis_pushed_documents",
            "Documents that devices pushed to this process, as they were judged.",
            ("site", "outcome"),
            registry=self.registry,
        )

    def note_pushed(self, site: str, *, received: int, refused: int) -> None:
        """A device of the site pushed documents; so many were let through, so many not."""
        for outcome, documents in (("received", received), ("refused", refused)):
            if documents:
                self._pushed.labels(site, outcome).inc(documents)

    def install(self, app: web.Application) -> None:
        """Count the application's requests, outside of every other middleware."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            waits = _waits(request)
            started = time.monotonic()
            status = 500
            if waits:
                self._feeds.inc()
            try:
                response = await handler(request)
                status = response.status
            except web.HTTPException as error:
                status = error.status
                raise
            else:
                return response
            finally:
                resource = request.match_info.route.resource
                route = _NO_ROUTE if resource is None else resource.canonical
                method = request.method if request.method in _METHODS else "other"
                self._requests.labels(route, method, str(status)).inc()
                if waits:
                    self._feeds.dec()
                else:
                    area = next((each for each in _AREAS if is_below(request.path, f"/{each}")), "api")
                    self._seconds.labels(area).observe(time.monotonic() - started)

        app.middlewares.insert(0, count)


def _waits(request: web.Request) -> bool:
    """Whether it is a feed, or a page's stream, that is open until something changes."""
    if request.path.endswith(("/_changes", "/_db_updates")):
        return request.query.get("feed") in WAITING_FEEDS
    return is_below(request.path, "/portal") and "text/event-stream" in request.headers.get("Accept", "")

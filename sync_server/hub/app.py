"""The one place where a hub's application is put together: what tablets reach. The link is not part of it."""

from aiohttp import web

from replication.http.intake import MAX_REQUEST_BYTES, Room
from replication.http.server import couch_routes
from sync_server.hub import middleware
from sync_server.hub.admission import TabletSessions, authorize
from sync_server.hub.answers import ROUTES
from sync_server.hub.parts import HUB, Hub


def build_hub(hub: Hub) -> web.Application:
    """The hub's store, its API and its page, for tablets on the site's network."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app[HUB] = hub
    middleware.install(app)
    hub.open_requests.install(app)
    app.add_routes(ROUTES)
    app.add_routes(
        couch_routes(
            hub.registry,
            authorize,
            prefix=middleware.DATABASES,
            sessions=TabletSessions(hub),
            room=Room(hub.settings.memory_mb * 1024 * 1024),
        )
    )

    async def end_feeds(app: web.Application) -> None:  # noqa: ARG001 (aiohttp passes it)
        hub.registry.stop_feeds()

    app.on_shutdown.append(end_feeds)
    return app

"""The one place where the application is put together."""

from collections.abc import AsyncIterator

from aiohttp import web

from replication.http.intake import MAX_REQUEST_BYTES, Room
from replication.http.server import couch_routes
from replication.replicator.replicator import Replicator
from replication.store.registry import Registry
from replication.upstream.exchange import Upstream
from replication.upstream.server import upstream_routes
from sync_server import lifespan
from sync_server.api.route import mounted
from sync_server.api.routes import API_ROUTES
from sync_server.gateway.access import authorize
from sync_server.gateway.failures import PREFIX, couch_errors
from sync_server.gateway.open_requests import OpenRequests
from sync_server.gateway.pace import Paces
from sync_server.gateway.sessions import DeviceSessions
from sync_server.keys import OPEN_REQUESTS, PACES, QUESTIONS, REPLICATOR, SETTINGS, TRAFFIC, UPSTREAM
from sync_server.limits.questions import Questions
from sync_server.limits.requests import install_limits
from sync_server.middleware import install_middleware
from sync_server.settings import Settings
from sync_server.traffic import Traffic


def build_app(settings: Settings) -> web.Application:
    """The gateway and the API on these settings: on the embedded store, or on the one at `COUCHDB_URL`."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app[SETTINGS] = settings
    app[OPEN_REQUESTS] = OpenRequests()
    app[QUESTIONS] = Questions()
    app[PACES] = Paces(
        requests_per_minute=settings.device_requests_per_minute,
        megabytes_per_minute=settings.device_megabytes_per_minute,
    )
    install_middleware(app)
    app[TRAFFIC] = Traffic()
    app[TRAFFIC].install(app)
    app.middlewares.append(couch_errors)
    app[OPEN_REQUESTS].install(app)
    app.add_routes(mounted(API_ROUTES))
    # First in, last out: whatever fails to start after it, the store is closed in order.
    if settings.couchdb_url is None:
        _mount_embedded_store(app, settings)
    else:
        _mount_couchdb(app, settings)
    app.cleanup_ctx.extend(
        [
            lifespan.postgres,
            lifespan.redis,
            lifespan.ended_logins,
            lifespan.store,
            lifespan.credentials,
            lifespan.activity,
            lifespan.erased,
            lifespan.audit_sealing,
            lifespan.replicator if settings.couchdb_url is None else lifespan.upstream,
        ]
    )
    install_limits(app)
    return app


def _mount_embedded_store(app: web.Application, settings: Settings) -> None:
    registry = Registry(settings.data_dir / "store")
    replicator = app[REPLICATOR] = Replicator(registry)
    app.add_routes(
        couch_routes(
            registry,
            authorize,
            prefix=PREFIX,
            sessions=DeviceSessions(),
            replicator=replicator,
            room=Room(settings.request_memory_mb * 1024 * 1024),
        )
    )

    async def open_and_close(app: web.Application) -> AsyncIterator[None]:  # noqa: ARG001 (aiohttp passes it)
        yield
        await registry.close()

    async def end_feeds(app: web.Application) -> None:  # noqa: ARG001 (aiohttp passes it)
        registry.stop_feeds()

    app.cleanup_ctx.append(open_and_close)
    app.on_shutdown.append(end_feeds)


def _mount_couchdb(app: web.Application, settings: Settings) -> None:
    upstream = app[UPSTREAM] = Upstream()
    app.add_routes(
        upstream_routes(
            upstream,
            authorize,
            prefix=PREFIX,
            sessions=DeviceSessions(),
            room=Room(settings.request_memory_mb * 1024 * 1024),
        )
    )

    async def end_feeds(app: web.Application) -> None:  # noqa: ARG001 (aiohttp passes it)
        upstream.stop_feeds()

    app.on_shutdown.append(end_feeds)

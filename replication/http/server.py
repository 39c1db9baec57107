"""All routes of the CouchDB API in one table, and how each request is authorised and answered.

GET /{db}/_changes ──▶ authorize(READ_FEED, db) ──▶ handler(Call) ──▶ answer
                            │ Unauthorized, Forbidden      │ CouchError
                            └──────────── {"error", "reason"} with its status ◀──────┘
"""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from replication.errors import CouchError
from replication.http import attachments, bulk, changes, databases, documents, local
from replication.http.access import Authorize, Operation
from replication.http.answers import error_answer
from replication.http.call import Call
from replication.store.registry import Registry

log = structlog.get_logger()

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[str, str, Operation, Handler], ...] = (
    ("GET", "/", Operation.SERVER_INFO, databases.server_info),
    ("GET", "/_up", Operation.SERVER_INFO, databases.up),
    ("GET", "/_all_dbs", Operation.LIST_DATABASES, databases.all_dbs),
    ("GET", "/_db_updates", Operation.DATABASE_UPDATES, databases.db_updates),
    ("GET", "/{db}", Operation.DATABASE_INFO, databases.info),
    ("PUT", "/{db}", Operation.CREATE_DATABASE, databases.create),
    ("DELETE", "/{db}", Operation.DELETE_DATABASE, databases.delete),
    ("POST", "/{db}", Operation.EDIT, documents.post),
    ("POST", "/{db}/_ensure_full_commit", Operation.FLUSH, databases.ensure_full_commit),
    ("POST", "/{db}/_revs_diff", Operation.REVS_DIFF, bulk.revs_diff),
    ("POST", "/{db}/_bulk_docs", Operation.REPLICATE_IN, bulk.bulk_docs),
    ("POST", "/{db}/_bulk_get", Operation.READ, bulk.bulk_get),
    ("GET", "/{db}/_all_docs", Operation.LIST_DOCUMENTS, documents.all_docs),
    ("POST", "/{db}/_all_docs", Operation.LIST_DOCUMENTS, documents.all_docs),
    ("GET", "/{db}/_changes", Operation.READ_FEED, changes.changes),
    ("POST", "/{db}/_changes", Operation.READ_FEED, changes.changes),
    ("GET", "/{db}/_local/{local}", Operation.LOCAL, local.get),
    ("PUT", "/{db}/_local/{local}", Operation.LOCAL, local.put),
    ("DELETE", "/{db}/_local/{local}", Operation.LOCAL, local.delete),
    ("GET", "/{db}/_design/{design}", Operation.READ, documents.get),
    ("PUT", "/{db}/_design/{design}", Operation.EDIT, documents.put),
    ("DELETE", "/{db}/_design/{design}", Operation.EDIT, documents.delete),
    ("GET", "/{db}/{doc}", Operation.READ, documents.get),
    ("PUT", "/{db}/{doc}", Operation.EDIT, documents.put),
    ("DELETE", "/{db}/{doc}", Operation.EDIT, documents.delete),
    ("GET", "/{db}/{doc}/{attachment:.+}", Operation.READ, attachments.get),
    ("PUT", "/{db}/{doc}/{attachment:.+}", Operation.EDIT, attachments.put),
    ("DELETE", "/{db}/{doc}/{attachment:.+}", Operation.EDIT, attachments.delete),
)


def couch_routes(registry: Registry, authorize: Authorize, *, prefix: str = "") -> list[web.RouteDef]:
    """The API's routes below `prefix`, each also with a trailing slash where it names a database."""
    routes = []
    for method, path, operation, handler in ROUTES:
        served = _served(registry, authorize, operation, handler)
        paths = [prefix + path] if path != "/" else [prefix + "/", prefix or "/"]
        if path == "/{db}":
            paths.append(prefix + "/{db}/")
        for full_path in dict.fromkeys(paths):
            if method == "GET":
                routes.append(web.get(full_path, served))  # allows HEAD too
            else:
                routes.append(web.route(method, full_path, served))
    return routes


def _served(
    registry: Registry, authorize: Authorize, operation: Operation, handler: Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        database = request.match_info.get("db")
        try:
            access = await authorize(request, operation, database)
            return await handler(Call(request, registry, access, database or "", authorize))
        except CouchError as error:
            if error.status >= 500:
                log.warning("request failed", path=request.path, error=error.error, reason=error.reason)
            return error_answer(error)

    return serve

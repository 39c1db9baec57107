"""All routes of the CouchDB API in one table, and how each request is authorised and answered.

GET /{db}/_changes ──▶ authorize(READ_FEED, db) ──▶ handler(Call) ──▶ answer
                            │ Unauthorized, Forbidden      │ CouchError
                            └──────────── {"error", "reason"} with its status ◀──────┘
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import structlog
from aiohttp import web

from replication.errors import BadRequest, CouchError, MethodNotAllowed
from replication.http import (
    administration,
    attachments,
    bulk,
    bulk_get,
    changes,
    copying,
    database_updates,
    databases,
    documents,
    indexes,
    listing,
    local,
    local_listing,
    node,
    querying,
    replicating,
    session,
    unsupported,
)
from replication.http.access import Access, Authorize, Operation
from replication.http.answers import error_answer
from replication.http.call import Call
from replication.http.intake import Room, give_portion
from replication.http.streaming import ConnectionCut
from replication.http.users import OwnersOnly, Sessions
from replication.replicator.replicator import Replicator
from replication.store.registry import Registry

log = structlog.get_logger()

CLIENT_IS_GONE = 499
"""Never sent; for the access log."""

_FUNCTION = f"/{{db}}/_design/{{design}}/{{function:{unsupported.PATTERN}}}"
_FUNCTION_BELOW = _FUNCTION + "/{rest:(?s:.+)}"
_OF_DESIGN = "/{db}/_design/{design}/{attachment:(?s:.+)}"

Handler = Callable[[Call], Awaitable[web.StreamResponse]]
C = TypeVar("C")

ROUTES: tuple[tuple[str, str, Operation, Handler], ...] = (
    ("GET", "/", Operation.SERVER_INFO, databases.server_info),
    ("GET", "/_up", Operation.SERVER_INFO, databases.up),
    ("GET", "/_all_dbs", Operation.LIST_DATABASES, databases.all_dbs),
    ("GET", "/_db_updates", Operation.DATABASE_UPDATES, database_updates.db_updates),
    ("GET", "/_dbs_info", Operation.LIST_DATABASES, databases.dbs_info),
    ("POST", "/_dbs_info", Operation.LIST_DATABASES, databases.dbs_info),
    ("GET", "/_uuids", Operation.SERVER_INFO, node.uuids),
    ("GET", "/_session", Operation.SESSION, session.get),
    ("POST", "/_session", Operation.SESSION, session.post),
    ("DELETE", "/_session", Operation.SESSION, session.delete),
    ("POST", "/_replicate", Operation.RUN_REPLICATION, replicating.replicate),
    ("GET", "/_scheduler/jobs", Operation.RUN_REPLICATION, replicating.jobs),
    ("GET", "/_scheduler/jobs/{job}", Operation.RUN_REPLICATION, replicating.job),
    ("GET", "/_scheduler/docs", Operation.RUN_REPLICATION, replicating.docs),
    ("GET", "/_scheduler/docs/{replicator}", Operation.RUN_REPLICATION, replicating.docs),
    ("GET", "/_scheduler/docs/{replicator}/{doc:(?s:.+)}", Operation.RUN_REPLICATION, replicating.doc),
    ("GET", "/_active_tasks", Operation.MONITOR, node.active_tasks),
    ("GET", "/_node/{node}", Operation.MONITOR, node.node),
    ("GET", "/_node/{node}/{detail:(?s:.+)}", Operation.MONITOR, node.node_detail),
    ("PUT", "/_node/{node}/{detail:(?s:.+)}", Operation.MONITOR, node.node_detail),
    ("DELETE", "/_node/{node}/{detail:(?s:.+)}", Operation.MONITOR, node.node_detail),
    ("GET", "/{db}", Operation.DATABASE_INFO, databases.info),
    ("PUT", "/{db}", Operation.CREATE_DATABASE, databases.create),
    ("DELETE", "/{db}", Operation.DELETE_DATABASE, databases.delete),
    ("POST", "/{db}", Operation.EDIT, documents.post),
    ("POST", "/{db}/_ensure_full_commit", Operation.FLUSH, databases.ensure_full_commit),
    ("POST", "/{db}/_revs_diff", Operation.REVS_DIFF, bulk.revs_diff),
    ("POST", "/{db}/_missing_revs", Operation.REVS_DIFF, bulk.missing_revs),
    ("POST", "/{db}/_bulk_docs", Operation.REPLICATE_IN, bulk.bulk_docs),
    ("POST", "/{db}/_bulk_get", Operation.READ, bulk_get.bulk_get),
    ("GET", "/{db}/_all_docs", Operation.LIST_DOCUMENTS, listing.all_docs),
    ("POST", "/{db}/_all_docs", Operation.LIST_DOCUMENTS, listing.all_docs),
    ("POST", "/{db}/_all_docs/queries", Operation.LIST_DOCUMENTS, listing.all_docs_queries),
    ("GET", "/{db}/_design_docs", Operation.LIST_DOCUMENTS, listing.design_docs),
    ("POST", "/{db}/_design_docs", Operation.LIST_DOCUMENTS, listing.design_docs),
    ("POST", "/{db}/_design_docs/queries", Operation.LIST_DOCUMENTS, listing.design_docs_queries),
    ("GET", "/{db}/_local_docs", Operation.LIST_DOCUMENTS, local_listing.local_docs),
    ("POST", "/{db}/_local_docs", Operation.LIST_DOCUMENTS, local_listing.local_docs),
    ("POST", "/{db}/_local_docs/queries", Operation.LIST_DOCUMENTS, local_listing.local_docs_queries),
    ("GET", "/{db}/_security", Operation.ADMINISTER, administration.security),
    ("PUT", "/{db}/_security", Operation.ADMINISTER, administration.set_security),
    ("GET", "/{db}/_revs_limit", Operation.ADMINISTER, administration.revs_limit),
    ("PUT", "/{db}/_revs_limit", Operation.ADMINISTER, administration.set_revs_limit),
    ("POST", "/{db}/_purge", Operation.PURGE, administration.purge),
    ("GET", "/{db}/_purged_infos", Operation.PURGE, administration.purged_infos),
    ("GET", "/{db}/_purged_infos_limit", Operation.ADMINISTER, administration.purged_infos_limit),
    ("PUT", "/{db}/_purged_infos_limit", Operation.ADMINISTER, administration.set_purged_infos_limit),
    ("POST", "/{db}/_compact", Operation.COMPACT, administration.compact),
    ("POST", "/{db}/_compact/{ddoc}", Operation.COMPACT, administration.compact_views),
    ("POST", "/{db}/_view_cleanup", Operation.COMPACT, administration.view_cleanup),
    ("GET", "/{db}/_changes", Operation.READ_FEED, changes.changes),
    ("POST", "/{db}/_changes", Operation.READ_FEED, changes.changes),
    ("POST", "/{db}/_find", Operation.QUERY, querying.find),
    ("POST", "/{db}/_explain", Operation.QUERY, querying.explain),
    ("GET", "/{db}/_index", Operation.QUERY, indexes.list_indexes),
    ("POST", "/{db}/_index", Operation.EDIT, indexes.create),
    ("POST", "/{db}/_index/_bulk_delete", Operation.EDIT, indexes.bulk_delete),
    ("DELETE", "/{db}/_index/_design/{design}/json/{index}", Operation.EDIT, indexes.delete),
    ("DELETE", "/{db}/_index/{design}/json/{index}", Operation.EDIT, indexes.delete),
    ("GET", "/{db}/_local/{local}", Operation.LOCAL, local.get),
    ("PUT", "/{db}/_local/{local}", Operation.LOCAL, local.put),
    ("DELETE", "/{db}/_local/{local}", Operation.LOCAL, local.delete),
    ("GET", "/{db}/_design/{design}", Operation.READ, documents.get),
    ("PUT", "/{db}/_design/{design}", Operation.REPLICATE_IN, documents.put),
    ("DELETE", "/{db}/_design/{design}", Operation.EDIT, documents.delete),
    ("COPY", "/{db}/_design/{design}", Operation.EDIT, copying.copy),
    ("GET", _FUNCTION, Operation.LIST_DOCUMENTS, unsupported.design_function),
    ("POST", _FUNCTION, Operation.LIST_DOCUMENTS, unsupported.design_function),
    ("GET", _FUNCTION_BELOW, Operation.LIST_DOCUMENTS, unsupported.design_function),
    ("POST", _FUNCTION_BELOW, Operation.LIST_DOCUMENTS, unsupported.design_function),
    ("PUT", _FUNCTION_BELOW, Operation.LIST_DOCUMENTS, unsupported.design_function),
    ("GET", _OF_DESIGN, Operation.READ, attachments.get),
    ("PUT", _OF_DESIGN, Operation.EDIT, attachments.put),
    ("DELETE", _OF_DESIGN, Operation.EDIT, attachments.delete),
    ("GET", "/{db}/{doc}", Operation.READ, documents.get),
    ("PUT", "/{db}/{doc}", Operation.REPLICATE_IN, documents.put),
    ("DELETE", "/{db}/{doc}", Operation.EDIT, documents.delete),
    ("COPY", "/{db}/{doc}", Operation.EDIT, copying.copy),
    ("GET", "/{db}/{doc}/{attachment:(?s:.+)}", Operation.READ, attachments.get),
    ("PUT", "/{db}/{doc}/{attachment:(?s:.+)}", Operation.EDIT, attachments.put),
    ("DELETE", "/{db}/{doc}/{attachment:(?s:.+)}", Operation.EDIT, attachments.delete),
)


def couch_routes(
    registry: Registry,
    authorize: Authorize,
    *,
    prefix: str = "",
    sessions: Sessions | None = None,
    replicator: Replicator | None = None,
    room: Room | None = None,
) -> list[web.RouteDef]:
    """The API's routes below `prefix`, each also with a trailing slash where it names a database.

    `sessions` knows users; None: every client is the owner. `replicator` runs replications; None: nobody
    does. `room` bounds the memory of requests' bodies.
    """
    room = room or Room()
    users = sessions or OwnersOnly()

    def call_of(request: web.Request, access: Access, _: str) -> Call:
        return Call(
            request=request,
            access=access,
            database_name=request.match_info.get("db") or "",
            authorizer=authorize,
            sessions=users,
            registry=registry,
            replicator=replicator,
        )

    return mounted(ROUTES, call_of, authorize, prefix=prefix, room=room)


def mounted(
    table: Sequence[tuple[str, str, Operation, Callable[[C], Awaitable[web.StreamResponse]]]],
    call_of: Callable[[web.Request, Access, str], C],
    authorize: Authorize,
    *,
    prefix: str,
    room: Room,
) -> list[web.RouteDef]:
    """The routes of a table below `prefix`; `call_of` makes of a request, its access and the path of its
    route what the handlers take.
    """
    routes = []
    for path in dict.fromkeys(path for _, path, _, _ in table):
        methods = {
            method: _served(partial(_with_path, call_of, path), authorize, operation, handler, room)
            for method, other, operation, handler in table
            if other == path
        }
        for full_path in _full_paths(prefix, path):
            for method, served in methods.items():
                if method == "GET":
                    routes.append(web.get(full_path, served))  # allows HEAD too
                else:
                    routes.append(web.route(method, full_path, served))
            # Or the next pattern that fits would have it: a wrong method on `_bulk_docs` is no document.
            routes.append(web.route("*", full_path, _wrong_method(methods)))
    return routes


def _with_path(
    call_of: Callable[[web.Request, Access, str], C], path: str, request: web.Request, access: Access
) -> C:
    return call_of(request, access, path)


def _full_paths(prefix: str, path: str) -> list[str]:
    # By itself aiohttp has no braces in a segment, which ids may have.
    pattern = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)
    if path == "/":
        return [prefix + "/", prefix] if prefix else ["/"]
    return [prefix + pattern, f"{prefix}{pattern}/"] if path == "/{db}" else [prefix + pattern]


def _wrong_method(methods: Iterable[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    allowed = ",".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))

    async def refuse(_: web.Request) -> web.StreamResponse:
        answer = error_answer(MethodNotAllowed(f"Only {allowed} allowed"))
        answer.headers["Allow"] = allowed
        return answer

    return refuse


def _served(
    call_of: Callable[[web.Request, Access], C],
    authorize: Authorize,
    operation: Operation,
    handler: Callable[[C], Awaitable[web.StreamResponse]],
    room: Room,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        database = request.match_info.get("db")
        portion = give_portion(request, room)
        try:
            _check_path(request)
            access = await authorize(request, operation, database)
            return await handler(call_of(request, access))
        except CouchError as error:
            if error.status >= 500:
                log.warning("request failed", path=request.path, error=error.error, reason=error.reason)
            return error_answer(error)
        except ConnectionCut as cut:
            log.info("connection cut", path=request.path, reason=str(cut))
            return web.Response(status=CLIENT_IS_GONE)
        finally:
            portion.release()

    return serve


def _check_path(request: web.Request) -> None:
    """Raises BadRequest when the URL is no UTF-8: decoded leniently it would name another document."""
    try:
        unquote_to_bytes(request.rel_url.raw_path).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("the URL is not UTF-8") from error

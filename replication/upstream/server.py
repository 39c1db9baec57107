"""The API's table of routes, answered by the server behind.

What is listed here is read, judged or filtered on its way; every other line of the table passes as it is,
once it is authorised: what reads with its query as it came, what writes without one. What is no line of the
table is not served, also where the server behind has it below a name that looks like a database's.
`_session` is answered here: who calls is nobody whom the server behind knows.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from replication.errors import NotFound
from replication.http import (
    attachments,
    bulk,
    bulk_get,
    changes,
    copying,
    database_updates,
    databases,
    documents,
    local,
    node,
    replicating,
    session,
    unsupported,
)
from replication.http.access import Access, Authorize, Operation
from replication.http.intake import Room
from replication.http.server import ROUTES, mounted
from replication.http.users import OwnersOnly, Sessions
from replication.store.registry import NAME
from replication.upstream import editing, feeds, functions, pushing, reading
from replication.upstream import local as own_local
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Upstream
from replication.upstream.passing import pass_on, pass_on_replication, pass_on_write

_QUERIES = frozenset(
    {
        Operation.LIST_DATABASES,
        Operation.LIST_DOCUMENTS,
        Operation.QUERY,
        Operation.READ,
        Operation.READ_FEED,
        Operation.REVS_DIFF,
    }
)
"""What reads, also where it is a POST."""

Answering = Callable[[Any], Awaitable[web.StreamResponse]]
Handler = Callable[[UpstreamCall], Awaitable[web.StreamResponse]]

HANDLERS: Mapping[Answering, Handler] = {
    database_updates.db_updates: feeds.database_updates,
    session.get: session.get,
    session.post: session.post,
    session.delete: session.delete,
    node.node_detail: functions.node_detail,
    unsupported.design_function: functions.design_function,
    replicating.replicate: pass_on_replication,
    databases.create: partial(pass_on_write, parameters=("q", "n", "placement", "partitioned")),
    # CouchDB refuses to delete a database with a revision: what was meant is a document.
    databases.delete: partial(pass_on_write, parameters=("rev",)),
    bulk.bulk_docs: pushing.bulk_docs,
    bulk_get.bulk_get: reading.bulk_get,
    changes.changes: feeds.changes,
    local.get: own_local.get,
    local.put: own_local.put,
    local.delete: own_local.delete,
    documents.get: reading.document,
    documents.post: pushing.post,
    documents.put: pushing.put,
    documents.delete: editing.delete,
    copying.copy: editing.copy,
    attachments.get: reading.attachment,
    attachments.put: editing.edit_attachment,
    attachments.delete: editing.edit_attachment,
}
"""What answers here instead of the handler of the embedded store."""


def upstream_routes(
    upstream: Upstream,
    authorize: Authorize,
    *,
    prefix: str = "",
    sessions: Sessions | None = None,
    room: Room | None = None,
) -> list[web.RouteDef]:
    """The API's routes below `prefix`, as `couch_routes` has them; `upstream` answers."""
    users = sessions or OwnersOnly()

    def call_of(request: web.Request, access: Access, path: str) -> UpstreamCall:
        database = request.match_info.get("db") or ""
        if database.startswith("_") and not NAME.fullmatch(database):
            # `_users`, and what is no database at all there: `_membership`, `_reshard`, `_cluster_setup`.
            raise NotFound("Database does not exist.")
        return UpstreamCall(
            request=request,
            access=access,
            database_name=database,
            authorizer=authorize,
            sessions=users,
            upstream=upstream,
            route=path,
            prefix=prefix,
        )

    table = [
        (method, path, operation, HANDLERS.get(embedded) or _passing(method, operation))
        for method, path, operation, embedded in ROUTES
    ]
    return mounted(table, call_of, authorize, prefix=prefix, room=room or Room())


def _passing(method: str, operation: Operation) -> Handler:
    return pass_on if method == "GET" or operation in _QUERIES else pass_on_write

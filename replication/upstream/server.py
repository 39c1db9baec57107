"""The API's table of routes, answered by the server behind.

What is listed here is read, judged or filtered on its way; every other line of the table passes as it is,
once it is authorised: what reads with its query as it came, what writes without one. `_session` is answered
here: who calls is nobody whom the server behind knows.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web

from replication.http import session
from replication.http.access import Access, Authorize, Operation
from replication.http.intake import Room
from replication.http.server import ROUTES, mounted
from replication.http.users import OwnersOnly, Sessions
from replication.upstream import editing, feeds, local, pushing, reading
from replication.upstream.call import UpstreamCall
from replication.upstream.exchange import Upstream
from replication.upstream.passing import pass_on, pass_on_write

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

Handler = Callable[[UpstreamCall], Awaitable[web.StreamResponse]]

_OF_DESIGN = "/{db}/_design/{design}/{attachment:(?s:.+)}"
_OF_DOCUMENT = "/{db}/{doc}/{attachment:(?s:.+)}"

HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("GET", "/_db_updates"): feeds.database_updates,
    ("GET", "/_session"): session.get,
    ("POST", "/_session"): session.post,
    ("DELETE", "/_session"): session.delete,
    ("PUT", "/{db}"): partial(pass_on_write, parameters=("q", "n", "placement", "partitioned")),
    # CouchDB refuses to delete a database with a revision: what was meant is a document.
    ("DELETE", "/{db}"): partial(pass_on_write, parameters=("rev",)),
    ("POST", "/{db}"): pushing.post,
    ("POST", "/{db}/_bulk_docs"): pushing.bulk_docs,
    ("POST", "/{db}/_bulk_get"): reading.bulk_get,
    ("GET", "/{db}/_changes"): feeds.changes,
    ("POST", "/{db}/_changes"): feeds.changes,
    ("GET", "/{db}/_local/{local}"): local.get,
    ("PUT", "/{db}/_local/{local}"): local.put,
    ("DELETE", "/{db}/_local/{local}"): local.delete,
    ("GET", "/{db}/_design/{design}"): reading.document,
    ("PUT", "/{db}/_design/{design}"): pushing.put,
    ("DELETE", "/{db}/_design/{design}"): editing.delete,
    ("COPY", "/{db}/_design/{design}"): editing.copy,
    ("GET", _OF_DESIGN): reading.document,
    ("PUT", _OF_DESIGN): editing.edit_attachment,
    ("DELETE", _OF_DESIGN): editing.edit_attachment,
    ("GET", "/{db}/{doc}"): reading.document,
    ("PUT", "/{db}/{doc}"): pushing.put,
    ("DELETE", "/{db}/{doc}"): editing.delete,
    ("COPY", "/{db}/{doc}"): editing.copy,
    ("GET", _OF_DOCUMENT): reading.document,
    ("PUT", _OF_DOCUMENT): editing.edit_attachment,
    ("DELETE", _OF_DOCUMENT): editing.edit_attachment,
}


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
        return UpstreamCall(
            request=request,
            access=access,
            database_name=request.match_info.get("db") or "",
            authorizer=authorize,
            sessions=users,
            upstream=upstream,
            route=path,
            prefix=prefix,
        )

    table = [
        (method, path, operation, HANDLERS.get((method, path)) or _passing(method, operation))
        for method, path, operation, _ in ROUTES
    ]
    return mounted(table, call_of, authorize, prefix=prefix, room=room or Room())


def _passing(method: str, operation: Operation) -> Handler:
    return pass_on if method == "GET" or operation in _QUERIES else pass_on_write

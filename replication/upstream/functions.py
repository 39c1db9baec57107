"""What the server behind could do for whoever may ask it, and this one does not have it do.

A caller's rights are judged by the operation of a route, and what is written by `Access.admit`. These routes
would be answered with more than that:

asked for                              refused, for
-----------------------------------    ---------------------------------------------------------------------
`_update`                              it writes a document that nobody has judged here
`_rewrite`                             the design document says what is asked for: another database, `_users`
`_show`, `_list`                       they answer what a document says, headers and scripts too
a node's `_config`, `_restart`, …      with an admin's login they give away, or change, all of the server

The embedded store has none of them either. `_view` and `_info` are computed by the server behind.
"""

from aiohttp import web

from replication.errors import NotFound, NotImplementedHere
from replication.http.unsupported import INSTEAD
from replication.upstream.call import UpstreamCall
from replication.upstream.passing import pass_on

_COMPUTED = frozenset({"_info", "_view"})
_SHOWN_OF_A_NODE = frozenset({"_prometheus", "_stats", "_system", "_versions"})


async def design_function(call: UpstreamCall) -> web.StreamResponse:
    """Any method on `/{db}/_design/{design}/_view/…` and its like. Raises NotImplementedHere."""
    kind = call.request.match_info["function"]
    if kind not in _COMPUTED:
        raise NotImplementedHere(INSTEAD[kind])
    return await pass_on(call)


async def node_detail(call: UpstreamCall) -> web.StreamResponse:
    """`GET /_node/{node}/…` of what shows how a node does. Raises NotFound for everything else."""
    # CouchDB takes no notice of empty segments.
    what = next(filter(None, call.request.match_info["detail"].split("/")), "")
    if what == "_config":
        raise NotFound("unknown_config_value")
    if what not in _SHOWN_OF_A_NODE or call.request.method not in ("GET", "HEAD"):
        raise NotFound("missing")
    return await pass_on(call)

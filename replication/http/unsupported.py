"""What CouchDB computes with JavaScript of a design document, and this store does not.

Design documents are stored and replicated. Answering 404 would say that the view is not there, and a client
would wait for it or make it; 501 says that no waiting helps.
"""

from aiohttp import web

from replication.errors import NotImplementedHere
from replication.http.call import Call

INSTEAD = {
    "_view": "map/reduce views are not computed; use _find, or the rows in Postgres",
    "_info": "map/reduce views are not computed, so there is no index to tell of",
    "_show": "show functions are not run; CouchDB has deprecated them",
    "_list": "list functions are not run; CouchDB has deprecated them",
    "_update": "update functions are not run; write the document itself",
    "_rewrite": "URLs are not rewritten; CouchDB has deprecated it",
}


async def design_function(call: Call) -> web.Response:
    """Any method on `/{db}/_design/{design}/_view/…` and its like. Raises NotImplementedHere."""
    await call.database()
    kind = call.request.match_info["function"]
    raise NotImplementedHere(INSTEAD[kind])


PATTERN = "|".join(INSTEAD)

"""The embedded store's API for a caller who is no server admin, as CouchDB treats the service's own user."""

from aiohttp import web

from replication.errors import Unauthorized
from replication.http.access import Access, FullAccess, Operation

ADMINS_WORK = {Operation.CREATE_DATABASE, Operation.PURGE}


async def as_no_admin(request: web.Request, operation: Operation, database: str | None) -> Access:
    """An `Authorize` that lets nobody make databases or purge."""
    if operation in ADMINS_WORK:
        raise Unauthorized("You are not a server admin.")
    return FullAccess()

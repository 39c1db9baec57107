"""A site's database is made here, whichever store holds it, and nowhere else.

| the store | what is made |
|---|---|
| the embedded one | the database |
| an Apache CouchDB, asked as a server admin | the same as `sync-server provision` makes |
| … asked as the service's own user | nothing: it may not. NotProvisioned where there is none |
| … the process dies in between | the database admits admins only, until `sync-server provision` is run |
"""

from typing import Any

from replication.client import CouchClient
from replication.errors import CouchError, DatabaseExists, Forbidden, NotFound, Unauthorized
from reporting.sites import database_of
from sync_server.provisioning.design import SiteDesign
from sync_server.provisioning.requests import requests_for_new_site


class NotProvisioned(CouchError):
    """There is no database of this site, and the service may not make it."""

    status = 503
    error = "not_provisioned"

    def __init__(self, site: str) -> None:
        super().__init__(
            f"the site {site} has no database yet, and CouchDB lets only its server admins make one: run "
            "`sync-server provision`"
        )


async def create_site_database(client: CouchClient, site: str, design: SiteDesign | None = None) -> None:
    """Make sure that the site's database is there; `design` where an Apache CouchDB holds it. Raises
    NotProvisioned, CouchError.
    """
    database = database_of(site)
    try:
        if design is None:
            await client.create(database)
            return
        for request in requests_for_new_site(site, design):
            await client.request(
                request.method, request.path, dict[str, Any], query=request.query, body=request.body
            )
    except DatabaseExists:
        return
    except (Unauthorized, Forbidden):
        # CouchDB says so to whoever is no admin, also of a database that is there.
        try:
            await client.info(database)
        except NotFound:
            raise NotProvisioned(site) from None

"""`/api/sites`: how each site stands, and which tablets still hold documents. Any person may read what their
studies reach.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.queries.sites import (
    BY_NAME,
    SORTABLE,
    DeviceRow,
    SiteRow,
    list_devices,
    read_site,
    select_sites,
)
from sync_server.api.call import Call, ListQuery, Nothing, PageOf, wanted_fields
from sync_server.api.parameters import Text
from sync_server.api.route import get
from sync_server.errors import NotFound


class SiteAnswer(SiteRow, frozen=True):
    """A site, with what its tablets last told of themselves."""

    devices: list[DeviceRow]


class SitesQuery(ListQuery, frozen=True, kw_only=True):
    """`study`: the sites at which it runs. `q`: a text that the code or the name has in it, in any case.
    `codes`: those with these codes, comma-separated.
    """

    study: Text | None = None
    q: Text | None = None
    codes: Annotated[str, Meta(min_length=1, max_length=40_000)] | None = None


async def get_sites(call: Call[SitesQuery, Nothing]) -> PageOf[SiteRow]:
    """List how the sites stand, by name."""
    scope, study = call.caller.scope("sites.read"), call.query.study
    if study is not None and not scope.sees_study(study):
        raise NotFound(f"There is no study {study}.")
    codes = None if call.query.codes is None else set(call.query.codes.split(","))
    found = select_sites(scope, study=study, q=call.query.q, codes=codes, only=wanted_fields(call.query))
    return await call.page(SiteRow, found, sortable=SORTABLE, key=BY_NAME, identity=BY_NAME)


async def get_site(call: Call[Nothing, Nothing]) -> SiteAnswer:
    """Read how a site stands, with what its tablets last told of themselves."""
    name = call.path("site")
    site = await read_site(call.connection, name, call.caller.scope("sites.read"))
    if site is None:
        raise NotFound(f"There is no site {name}: no device is enrolled in it, and nothing was projected.")
    own: dict[str, Any] = msgspec.structs.asdict(site)
    return SiteAnswer(**own, devices=await list_devices(call.connection, name))


ROUTES = [
    get("/api/sites", get_sites, right="sites.read"),
    get("/api/sites/{site}", get_site, right="sites.read"),
]

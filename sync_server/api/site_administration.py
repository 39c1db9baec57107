"""`/api/sites`: making, changing and archiving sites.

Archiving keeps everything that was collected. What it must not do is lose what was not: a tablet that may
not sync any more cannot hand in. So it lists what is outstanding and which devices are in force, and goes on
only when told to (`force`), revoking them.

| when it fails | what is left |
|---|---|
| the store cannot be reached while a site is made | nothing; 503 |
| the process dies between the database and the commit | an empty database, which the next attempt takes |
| two make the same site | one row; the other is told that it is taken |
| a device is enrolled while the site is archived | it waits for the site's row, and is refused |
"""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import UNSET, Meta, UnsetType

from replication.errors import CouchError
from reporting.publication.requests import publish_sites
from reporting.reminders.planning import replanned_at_site
from reporting.steps import perform
from reporting.studies.sites import (
    Outstanding,
    SiteRecord,
    insert_site,
    select_devices_in_force,
    select_outstanding,
    select_site,
    timezones,
    update_site,
)
from reporting.visits.generation import at_site
from reporting.webhooks.events import Event, announce
from sync_server.api.acts import Reason
from sync_server.api.call import Call, Nothing
from sync_server.api.names import SiteCode
from sync_server.api.route import Route, patch, post
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken, Unavailable
from sync_server.identity.devices import device_revoked, revoke
from sync_server.keys import SETTINGS, SITE_DATABASES
from sync_server.provisioning.design import site_design
from sync_server.site_databases import NotProvisioned, create_site_database

log = structlog.get_logger()

SiteName = Annotated[str, Meta(max_length=200)]
Timezone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA name, such as America/Lima")]


class NewSite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A site; `code` also names its database, and never changes."""

    code: SiteCode
    name: SiteName = ""
    timezone: Timezone = "UTC"


class SiteChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change."""

    name: SiteName | UnsetType = UNSET
    timezone: Timezone | UnsetType = UNSET


class Archiving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; `force` revokes the devices in force, and what they have not handed in stays with them."""

    reason: Reason
    force: bool = False


class Reopening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


async def create_site(call: Call[Nothing, NewSite]) -> SiteRecord:
    """Make a site and its database."""
    call.caller.require_everywhere("sites.write")
    site = call.body
    _check_timezone(site.timezone)
    statement = insert_site(site.code, name=site.name, timezone=site.timezone)
    if (await call.connection.execute(statement)).one_or_none() is None:
        raise Taken(f"There is a site {site.code} already.", details={"code": site.code})
    await call.record("site.create", "site", site.code, site=site.code, after=site)
    await call.connection.execute(
        announce(Event(name="site.created", occurrence=site.code, site=site.code, data={"site": site.code}))
    )
    # Last, so that whatever refuses the site makes no database.
    await _provision(call, site.code)
    return await _read(call, site.code)


async def change_site(call: Call[Nothing, SiteChange]) -> SiteRecord:
    """Change a site's name or timezone."""
    call.caller.require_everywhere("sites.write")
    before = await _read(call, call.path("site"), lock=True)
    call.match(before.row_version)
    changed = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
    changed = {name: value for name, value in changed.items() if value != getattr(before, name)}
    if "timezone" in changed:
        _check_timezone(changed["timezone"])
    if changed:
        await call.connection.execute(update_site(before.code, **changed))
        seen = {name: getattr(before, name) for name in changed}
        await call.record("site.change", "site", before.code, site=before.code, before=seen, after=changed)
        if "timezone" in changed:
            now = datetime.now(UTC)
            await call.connection.run_sync(perform, at_site(before.code, now))
            await call.connection.run_sync(perform, replanned_at_site(before.code, now))
        await call.connection.execute(publish_sites([before.code]))
    return await _read(call, before.code)


async def archive_site(call: Call[Nothing, Archiving]) -> SiteRecord:
    """Archive a site: nobody is enrolled there any more, and its tablets are given nothing.

    Refused while devices are in force or tablets hold documents, unless `force` revokes them. What was
    collected stays.
    """
    call.caller.require_everywhere("sites.write")
    site = await _read(call, call.path("site"), lock=True)
    if site.status == "archived":
        raise NotPossible(f"The site {site.code} is archived already.", details={"status": site.status})
    outstanding = [Outstanding(*row) for row in await call.connection.execute(select_outstanding(site.code))]
    devices = list((await call.connection.scalars(select_devices_in_force(site.code))).all())
    if (devices or outstanding) and not call.body.force:
        documents = sum(each.documents for each in outstanding)
        raise NotPossible(
            f"Devices in force: {len(devices)}; documents that tablets still hold: {documents}. "
            "Have them sync and revoke them, or force.",
            details={"devices": devices, "outstanding": outstanding},
        )
    for device in devices:
        await call.connection.run_sync(partial(revoke, site=site.code, device=device))
    await call.connection.execute(update_site(site.code, status="archived"))
    await call.record(
        "site.archive",
        "site",
        site.code,
        site=site.code,
        reason=call.body.reason,
        before={"outstanding": outstanding},
        after={"revoked": devices, "forced": call.body.force},
    )
    happened = [
        Event(
            name="site.archived",
            occurrence=f"{site.code}/{site.row_version}",
            site=site.code,
            data={"site": site.code},
        )
    ]
    happened += [device_revoked(site.code, device) for device in devices]
    await call.connection.execute(announce(*happened))
    await call.connection.execute(publish_sites([site.code]))
    return await _read(call, site.code)


async def reopen_site(call: Call[Nothing, Reopening]) -> SiteRecord:
    """Open an archived site again; its devices have to be enrolled anew."""
    call.caller.require_everywhere("sites.write")
    site = await _read(call, call.path("site"), lock=True)
    if site.status != "archived":
        raise NotPossible(f"The site {site.code} is open.", details={"status": site.status})
    await call.connection.execute(update_site(site.code, status="open"))
    await call.record("site.reopen", "site", site.code, site=site.code, reason=call.body.reason)
    await call.connection.execute(publish_sites([site.code]))
    await _provision(call, site.code)
    return await _read(call, site.code)


async def _read(call: Call[Any, Any], site: str, *, lock: bool = False) -> SiteRecord:
    row = (await call.connection.execute(select_site(site, lock=lock))).one_or_none()
    if row is None:
        raise NotFound(f"There is no site {site}.")
    return SiteRecord(*row)


async def _provision(call: Call[Any, Any], site: str) -> None:
    app = call.request.app
    try:
        await create_site_database(app[SITE_DATABASES], site, site_design(app[SETTINGS]))
    except NotProvisioned as error:
        # The site is worth having all the same: `sync-server provision` makes databases of rows.
        log.warning("site without database", site=site, reason=error.reason)
    except CouchError as error:
        raise Unavailable(f"The site's database cannot be made now: {error.reason}") from error


def _check_timezone(name: str) -> None:
    if name not in timezones():
        raise InvalidRequest(
            f"{name} is no timezone of the IANA database, such as America/Lima.",
            details={"path": "$.timezone"},
        )


ROUTES: list[Route] = [
    post("/api/sites", create_site, right="sites.write", status=201, errors=(409,)),
    patch("/api/sites/{site}", change_site, right="sites.write", errors=(412, 428)),
    post("/api/sites/{site}/archive", archive_site, right="sites.write", errors=(409,)),
    post("/api/sites/{site}/reopen", reopen_site, right="sites.write", errors=(409,)),
]

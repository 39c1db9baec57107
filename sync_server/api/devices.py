"""`/api/sync`: enrolling, watching, naming and revoking tablets and hubs.

    POST /api/sync/enrolments   a coordinator, at the desk: a one-time code, as text and as QR code
    POST /api/sync/enrol        the tablet, wherever it is: its credential and its database

The QR code holds `{"v": 1, "urls": [...], "code": "…"}`: where to redeem it. A site with hubs adds
`"hubs": [{"url": …, "ca": "sha256:…"}]`: where to sync while the centre cannot be reached, and the
fingerprint of the authority that a hub made for itself; `"ca"` beside `urls` is that of the centre's own.
"""

import io
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
import segno
from msgspec import UNSET, Meta, UnsetType

from reporting.hubs import SyncAddress, forget_purges_of_wiped, note_wiped, select_addresses
from reporting.queries.devices import (
    DEVICE_SITE,
    KEY,
    SORTABLE,
    EnrolledDevice,
    PendingCode,
    RefusedDocument,
    select_codes,
    select_devices,
    select_refused,
)
from reporting.scope import within
from reporting.sites import database_of
from reporting.studies.sites import hold_site
from reporting.tables import enrolment_codes, ingest_log
from reporting.webhooks.events import Event, announce
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.names import DeviceName, SiteCode
from sync_server.api.parameters import Text
from sync_server.api.route import Route, delete, get, patch, post
from sync_server.enrolment import Enrolment
from sync_server.errors import NotAllowed, NotFound, NotPossible, Unavailable
from sync_server.identity.devices import (
    EnrolledRole,
    device_revoked,
    enrol,
    label_device,
    lock_device,
    lock_device_rows,
    revoke,
)
from sync_server.identity.enrolment_codes import (
    cancel_code,
    hold_device_of_code,
    hold_site_of_code,
    insert_code,
    new_code,
    redeem_code,
    select_code_site,
)
from sync_server.keys import CA_FINGERPRINT, SETTINGS, SIGNING_KEY, SITE_DATABASES
from sync_server.provisioning.design import site_design
from sync_server.site_databases import NotProvisioned, create_site_database

Label = Annotated[str, Meta(max_length=200)]
Installation = Annotated[str, Meta(min_length=16, max_length=200)]
"""A random text that the app keeps for itself, as long as it is installed."""


class DevicesQuery(ListQuery, frozen=True, kw_only=True):
    """`outstanding=true`: tablets that still hold documents."""

    site: Text | None = None
    role: Literal["tablet", "hub"] | None = None
    state: Literal["enrolled", "revoked"] | None = None
    outstanding: bool | None = None


class CodesQuery(ListQuery, frozen=True, kw_only=True):
    """Of one site, or of all."""

    site: Text | None = None


class NewEnrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which device is to enrol itself, where, and for how long the code is good."""

    site: SiteCode
    device: DeviceName
    role: EnrolledRole = "tablet"
    label: Label = ""
    valid_minutes: Annotated[int, Meta(ge=1, le=60 * 24 * 14)] = 60


class EnrolmentCode(msgspec.Struct, frozen=True):
    """The code, shown here and never again; `qr_svg` is a picture of `qr_text`."""

    id: int
    code: str
    site: str
    device: str
    expires_at: datetime
    urls: list[str]
    hubs: list[SyncAddress]
    """Of the site, as they last told: where the tablet can sync in the site's own network."""
    qr_text: str
    qr_svg: str


class Redemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tablet hands in."""

    code: Annotated[str, Meta(min_length=1, max_length=100)]
    installation: Installation


class ChangedDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people call it."""

    label: Label | UnsetType = UNSET


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class Wiped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is known that nothing is left on the disk."""

    reason: Reason


class Revoked(msgspec.Struct, frozen=True):
    """How many credentials ended."""

    revoked: int


async def list_devices(call: Call[DevicesQuery, Nothing]) -> PageOf[EnrolledDevice]:
    """Tablets and hubs: when they were seen, what they hold, what was refused."""
    query = call.query
    matching = select_devices(
        within=within(call.caller.scope("devices.read"), site=DEVICE_SITE),
        site=query.site,
        role=query.role,
        state=query.state,
        outstanding=query.outstanding,
    )
    return await call.page(EnrolledDevice, matching, sortable=SORTABLE, key=KEY)


async def get_device(call: Call[Nothing, Nothing]) -> EnrolledDevice:
    """One device."""
    site = call.path("site")
    call.caller.require_at_site("devices.read", site)
    return await _device(call, site, call.path("device"))


async def _device(call: Call[Any, Any], site: str, device: str) -> EnrolledDevice:
    row = (await call.connection.execute(select_devices(site=site, device=device))).one_or_none()
    if row is None:
        raise NotFound(f"There is no device {device} at {site}.")
    return EnrolledDevice(*row)


async def list_refused(call: Call[ListQuery, Nothing]) -> PageOf[RefusedDocument]:
    """What a device sent and was refused, and why, the latest first."""
    site, device = call.path("site"), call.path("device")
    call.caller.require_at_site("devices.read", site)
    c = ingest_log.c
    return await call.page(
        RefusedDocument,
        select_refused(site, device),
        sortable={"received_at": c.received_at, "doc_id": c.doc_id},
        key=(c.received_at.desc(), c.doc_id, c.rev),
    )


async def change_device(call: Call[Nothing, ChangedDevice]) -> EnrolledDevice:
    """Call a device something else; its name stays, since its credential and documents hold it."""
    site, device = call.path("site"), call.path("device")
    call.caller.require_at_site("devices.manage", site)
    # The row of a device that was never labelled does not exist: its enrolment is what is locked.
    await call.connection.execute(lock_device_rows(site, device))
    before = await _device(call, site, device)
    call.match(before.row_version)
    if call.body.label is UNSET:
        return before
    await call.connection.execute(label_device(site, device, call.body.label, before.row_version + 1))
    await call.record(
        "device.rename",
        "device",
        device,
        site=site,
        before={"label": before.label},
        after={"label": call.body.label},
    )
    return await _device(call, site, device)


async def revoke_device(call: Call[Nothing, Revocation]) -> Revoked:
    """End every credential of a device; its open requests are cut within a second."""
    site, device = call.path("site"), call.path("device")
    call.caller.require_at_site("devices.manage", site)
    await _device(call, site, device)
    revoked = await call.connection.run_sync(lambda c: revoke(c, site=site, device=device))
    if not revoked:
        raise NotPossible(f"{device} of {site} has no credential in force.")
    await call.record("device.revoke", "device", device, site=site, reason=call.body.reason)
    await call.connection.execute(announce(device_revoked(site, device)))
    return Revoked(revoked)


async def note_disk_wiped(call: Call[Nothing, Wiped]) -> None:
    """Say that the disk of a revoked hub holds nothing any more: it has no erased documents to purge then."""
    site, device = call.path("site"), call.path("device")
    call.caller.require_at_site("participants.erase", site)
    await _device(call, site, device)
    await call.connection.execute(lock_device(site, device))
    if (await call.connection.execute(note_wiped(site, device))).first() is None:
        raise NotPossible(f"{device} of {site} is no hub, or is not revoked.")
    await call.connection.execute(forget_purges_of_wiped(site, device))
    await call.record("device.wiped", "device", device, site=site, reason=call.body.reason)


async def create_enrolment(call: Call[Nothing, NewEnrolment]) -> EnrolmentCode:
    """A one-time code with which a device enrols itself, as text and as QR code."""
    wanted = call.body
    call.caller.require_at_site("devices.manage", wanted.site)
    status = await call.connection.scalar(hold_site(wanted.site))
    if status is None:
        raise NotFound(f"There is no site {wanted.site}.")
    if status != "open":
        raise NotPossible(f"Site {wanted.site} is archived: nothing can be enrolled there.")
    code = new_code()
    expires_at = datetime.now(UTC) + timedelta(minutes=wanted.valid_minutes)
    code_id = await call.connection.scalar(
        insert_code(
            code=code,
            site=wanted.site,
            device=wanted.device,
            role=wanted.role,
            label=wanted.label,
            created_by=call.caller.person.email,
            expires_at=expires_at,
        )
    )
    await call.record(
        "device.invite",
        "device",
        wanted.device,
        site=wanted.site,
        after={"role": wanted.role, "code": code_id},
    )
    urls = [f"{call.request.app[SETTINGS].base_url}/api/sync/enrol"]
    told: dict[str, Any] = {"v": 1, "urls": urls, "code": code}
    if CA_FINGERPRINT in call.request.app:
        told["ca"] = call.request.app[CA_FINGERPRINT]
    hubs = await _hubs(call, wanted.site) if wanted.role == "tablet" else []
    if hubs:
        told["hubs"] = hubs
    qr_text = msgspec.json.encode(told).decode()
    picture = io.BytesIO()
    segno.make(qr_text, error="m", micro=False).save(picture, kind="svg", scale=4, xmldecl=False, border=4)
    return EnrolmentCode(
        id=code_id or 0,
        code=code,
        site=wanted.site,
        device=wanted.device,
        expires_at=expires_at,
        urls=urls,
        hubs=hubs,
        qr_text=qr_text,
        qr_svg=picture.getvalue().decode(),
    )


async def list_enrolments(call: Call[CodesQuery, Nothing]) -> PageOf[PendingCode]:
    """One-time codes and what became of them, the latest first."""
    c = enrolment_codes.c
    scope = within(call.caller.scope("devices.manage"), site=c.site)
    return await call.page(
        PendingCode,
        select_codes(scope, call.query.site),
        sortable={"site": c.site, "device": c.device, "created_at": c.created_at, "expires_at": c.expires_at},
        key=(c.id.desc(),),
    )


async def cancel_enrolment(call: Call[Nothing, Nothing]) -> None:
    """End a code that was not redeemed yet."""
    code_id = call.number("id")
    site = await call.connection.scalar(select_code_site(code_id))
    if site is None or not call.caller.scope("devices.manage").covers_site(site):
        raise NotFound(f"There is no enrolment {call.path('id')}.")
    if await call.connection.scalar(cancel_code(code_id)) is None:
        raise NotPossible("This code was redeemed or cancelled already.")
    await call.record("device.uninvite", "enrolment", str(code_id), site=site)


async def redeem(call: Call[Nothing, Redemption]) -> Enrolment:
    """Redeem a one-time code for a credential and a database. For tablets: nobody is logged in."""
    await call.connection.execute(hold_site_of_code(call.body.code))
    await call.connection.execute(hold_device_of_code(call.body.code))
    redeemed = redeem_code(call.body.code, installation=call.body.installation)
    row = (await call.connection.execute(redeemed)).one_or_none()
    if row is None:
        raise NotAllowed("This code is not valid, or not any more: ask for a new one.")
    app = call.request.app
    enrolled = await call.connection.run_sync(
        lambda c: enrol(
            c,
            app[SIGNING_KEY],
            site=row.site,
            device=row.device,
            role=row.role,
            now=datetime.now(UTC),
            credential_id=uuid.uuid4().hex,
            code=row.id,
        )
    )
    if row.label:
        await call.connection.execute(label_device(row.site, row.device, row.label, 1))
    await call.connection.execute(
        announce(
            Event(
                name="device.enrolled",
                occurrence=enrolled.credential.id,
                site=row.site,
                data={"site": row.site, "device": row.device, "role": row.role},
            )
        )
    )
    database = database_of(row.site)
    try:
        await create_site_database(app[SITE_DATABASES], row.site, site_design(app[SETTINGS]))
    except NotProvisioned as error:
        # Nothing is committed: the code is good for another time.
        raise Unavailable(f"This tablet cannot be enrolled yet: {error.reason}.") from error
    return Enrolment(
        device=row.device,
        site=row.site,
        database=database,
        url=f"{app[SETTINGS].base_url}/db/{quote(database, safe='')}",
        username=row.device,
        password=enrolled.token,
        token=enrolled.token,
        hubs=[
            SyncAddress(f"{hub.url}/db/{quote(database, safe='')}", hub.ca)
            for hub in (await _hubs(call, row.site) if row.role == "tablet" else [])
        ],
    )


async def _hubs(call: Call[Any, Any], site: str) -> list[SyncAddress]:
    return [SyncAddress(*row) for row in await call.connection.execute(select_addresses(site))]


ROUTES: list[Route] = [
    get("/api/sync/devices", list_devices, right="devices.read"),
    get("/api/sync/devices/{site}/{device}", get_device, right="devices.read"),
    patch("/api/sync/devices/{site}/{device}", change_device, right="devices.manage", errors=(412, 428)),
    post("/api/sync/devices/{site}/{device}/revoke", revoke_device, right="devices.manage", errors=(409,)),
    post(
        "/api/sync/devices/{site}/{device}/wiped",
        note_disk_wiped,
        right="participants.erase",
        status=204,
        errors=(409,),
    ),
    get("/api/sync/devices/{site}/{device}/refused", list_refused, right="devices.read"),
    get("/api/sync/enrolments", list_enrolments, right="devices.manage"),
    post(
        "/api/sync/enrolments",
        create_enrolment,
        right="devices.manage",
        status=201,
        errors=(409,),
        secret=True,
    ),
    delete("/api/sync/enrolments/{id}", cancel_enrolment, right="devices.manage", status=204, errors=(409,)),
    post("/api/sync/enrol", redeem, right="public", status=201, repeatable=True),
]

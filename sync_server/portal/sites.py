"""Sites and their tablets: how each one syncs, enrolling and revoking, receipts of a document."""

import msgspec

from sync_server.api.parameters import Text
from sync_server.errors import NotFound
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Paged, Values

SITES = api("GET", "/api/sites")
SITE = api("GET", "/api/sites/{site}")
DEVICES = api("GET", "/api/sync/devices")
DEVICE = api("GET", "/api/sync/devices/{site}/{device}")
REFUSED = api("GET", "/api/sync/devices/{site}/{device}/refused")
CODES = api("GET", "/api/sync/enrolments")
RECEIPTS = api("GET", "/api/sync/receipts/{site}")

_NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}"

CREATE_SITE = Form(
    name="create_site",
    calls=api("POST", "/api/sites"),
    fields=(
        Field("code", hint=True, max_length=63, pattern="[a-z][a-z0-9_\\-]*"),
        Field("name", required=False, max_length=200),
        Field("timezone", hint=True, default="UTC", max_length=64),
    ),
)
CHANGE_SITE = Form(
    name="change_site",
    calls=api("PATCH", "/api/sites/{site}"),
    fields=(
        Field("name", required=False, blank="empty", max_length=200),
        Field("timezone", hint=True, max_length=64),
    ),
    versioned=True,
)
ENROL = Form(
    name="enrol",
    calls=api("POST", "/api/sync/enrolments"),
    fixed={"site": "site"},
    fields=(
        Field("device", hint=True, max_length=64, pattern=_NAME),
        Field("label", required=False, hint=True, max_length=200),
        Field("role", "choice", choices=("tablet", "hub"), default="tablet"),
        Field("valid_minutes", "number", default="60", minimum=1, maximum=60 * 24 * 14),
    ),
    shows="sites/enrolment.html",
)
CANCEL_CODE = Form(name="cancel_code", calls=api("DELETE", "/api/sync/enrolments/{id}"))
RENAME = Form(
    name="rename",
    calls=api("PATCH", "/api/sync/devices/{site}/{device}"),
    fields=(Field("label", required=False, blank="empty", max_length=200),),
    versioned=True,
)
REVOKE = Form(
    name="revoke",
    calls=api("POST", "/api/sync/devices/{site}/{device}/revoke"),
    fields=(Field("reason", "long", hint=True, max_length=10_000),),
    danger=True,
)


class SitesFilters(msgspec.Struct, frozen=True, kw_only=True):
    """`show`: all sites, or tablets that still hold documents. `q`: a text of a code or name."""

    show: Text | None = None
    q: Text | None = None
    page: Text = "1"
    sort: Text | None = None
    order: Text | None = None


class ReceiptFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Of which document."""

    document: Text | None = None


async def sites(look: Look) -> Values:
    """How each site stands."""
    wanted = look.filters
    if wanted.show == "holding":
        holding = await look.ask(
            DEVICES, outstanding=True, sort="outstanding", order="desc", page=wanted.page
        )
        return {"sites": None, "holding": holding}
    listed = await look.ask(SITES, q=wanted.q, page=wanted.page, sort=wanted.sort, order=wanted.order)
    return {"sites": listed, "holding": None}


async def site(look: Look) -> Values:
    """One site, with its tablets and the codes that are open."""
    found = await look.ask(SITE)
    look.fill(CHANGE_SITE, found.row_version, name=found.name, timezone=found.timezone)
    devices = await look.ask(DEVICES, site=found.site, page=look.filters.page, per_page=100)
    codes = await look.ask_if_allowed(CODES, site=found.site)
    return {
        "site": found,
        "devices": devices,
        "codes": [] if codes is None else [each for each in codes.data if _is_open(each)],
    }


async def tablet(look: Look) -> Values:
    """One tablet or hub, and what of it was refused."""
    device = await look.ask(DEVICE)
    look.fill(RENAME, device.row_version, label=device.label)
    return {"device": device, "refused_documents": await look.ask(REFUSED, page=look.filters.page)}


async def receipts(look: Look) -> Values:
    """What became of a document."""
    document = look.filters.document
    found, is_unknown = None, False
    if document is not None:
        try:
            found = await look.ask(RECEIPTS, document=document)
        except NotFound:
            is_unknown = True
    return {"site": look.path("site"), "found": found, "is_unknown": is_unknown}


def _is_open(code: object) -> bool:
    return getattr(code, "redeemed_at", None) is None and getattr(code, "cancelled_at", None) is None


PAGES = [
    Page(
        name="sites",
        path=f"{PATH}/sites",
        template="sites/sites.html",
        view=sites,
        reads=(SITES, DEVICES),
        forms=(CREATE_SITE,),
        filters=SitesFilters,
        live=("table",),
    ),
    Page(
        name="site",
        path=f"{PATH}/sites/{{site}}",
        template="sites/site.html",
        view=site,
        reads=(SITE, DEVICES),
        also=(CODES,),
        forms=(ENROL, CANCEL_CODE, CHANGE_SITE),
        filters=Paged,
        live=("health", "tablets", "codes"),
        area="sites",
    ),
    Page(
        name="tablet",
        path=f"{PATH}/sites/{{site}}/devices/{{device}}",
        template="sites/tablet.html",
        view=tablet,
        reads=(DEVICE, REFUSED),
        forms=(RENAME, REVOKE),
        filters=Paged,
        live=("health", "refused"),
        area="sites",
    ),
    Page(
        name="receipts",
        path=f"{PATH}/sites/{{site}}/receipts",
        template="sites/receipts.html",
        view=receipts,
        reads=(RECEIPTS,),
        filters=ReceiptFilters,
        area="sites",
    ),
]

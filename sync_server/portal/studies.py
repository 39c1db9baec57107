"""Studies: which there are, and one of them with its settings, sites, batteries and members."""

from typing import Any

import msgspec

from sync_server.api.parameters import Text
from sync_server.identity.people import Membership
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.study_pages import (
    BELOW,
    MOST,
    SITES,
    STUDY,
    all_site_choices,
    site_choices,
    site_names,
)

STUDIES = api("GET", "/api/studies")
TEMPLATES = api("GET", "/api/templates")
BATTERIES = api("GET", "/api/batteries")
USERS = api("GET", "/api/users")

ROLES = ("coordinator", "researcher", "read-only", "admin")
_SHOWN = 50
"""So many sites and members of a study; of the others the page says how many, and where they are."""

STATUSES = ("draft", "active", "paused", "completed")

CREATE_STUDY = Form(
    name="create_study",
    calls=api("POST", "/api/studies"),
    fields=(
        Field("code", hint=True, max_length=64, pattern="[A-Za-z0-9][A-Za-z0-9_\\-]*"),
        Field("title", required=False, max_length=200),
        Field("description", "long", required=False, max_length=10_000),
        Field("template", "pick", required=False, hint=True),
        Field("consent_required", "check", required=False),
    ),
)
CHANGE_STUDY = Form(
    name="change_study",
    calls=api("PATCH", "/api/studies/{study}"),
    fields=(
        Field("title", required=False, blank="empty", max_length=200),
        Field("description", "long", required=False, blank="empty", max_length=10_000),
        Field("consent_required", "check", required=False),
    ),
    versioned=True,
)
STUDY_STATUS = Form(
    name="study_status",
    calls=api("PATCH", "/api/studies/{study}"),
    fields=(
        Field("status", "choice", choices=STATUSES),
        Field("reason", "long", required=False, max_length=10_000),
    ),
    versioned=True,
)
ADD_SITE = Form(
    name="add_site",
    calls=api("PUT", "/api/studies/{study}/sites/{site}"),
    fields=(Field("site", "pick", place="path"),),
)
REMOVE_SITE = Form(
    name="remove_site",
    calls=api("DELETE", "/api/studies/{study}/sites/{site}"),
    fields=(
        Field("site", "pick", place="path"),
        Field("reason", "long", max_length=10_000),
    ),
)


def _battery(given: Any) -> dict[str, str]:
    battery, _, version = given.get("name", "").rpartition("@")
    return {"battery": battery, "version": version}


ADD_BATTERY = Form(
    name="add_battery",
    calls=api("PUT", "/api/studies/{study}/batteries/{battery}/{version}"),
    fields=(Field("name", "pick", place="path"),),
    locate=_battery,
)
REMOVE_BATTERY = Form(
    name="remove_battery",
    calls=api("DELETE", "/api/studies/{study}/batteries/{battery}/{version}"),
    fields=(Field("name", place="path"),),
    locate=_battery,
)


def _invitation(values: dict[str, Any]) -> dict[str, Any]:
    membership = {name: values.pop(name) for name in ("study", "role", "site") if name in values}
    return {**values, "memberships": [membership]}


INVITE = Form(
    name="invite",
    calls=api("POST", "/api/users/invite"),
    fixed={"study": "study"},
    fields=(
        Field("email", "email", max_length=254),
        Field("name", required=False, max_length=200),
        Field("role", "choice", choices=ROLES, default="coordinator"),
        Field("site", "pick", required=False),
        Field("language", "choice", choices=("en", "fr"), default="en"),
    ),
    build=_invitation,
    shows="studies/invited.html",
)
REMOVE_MEMBER = Form(
    name="remove_member",
    calls=api("DELETE", "/api/users/{person}/memberships"),
    fixed={"study": "study"},
    fields=(Field("site", required=False),),
    danger=True,
)


class StudyFilters(msgspec.Struct, frozen=True, kw_only=True):
    """How a code or title begins; which status."""

    q: Text | None = None
    status: Text | None = None
    page: Text = "1"


async def studies(look: Look) -> Values:
    """Those that somebody may see."""
    wanted = look.filters
    templates = await look.ask_if_allowed(TEMPLATES)
    if templates is not None:
        look.offer(CREATE_STUDY, "template", [(each.id, each.title) for each in templates.data])
    return {
        "studies": await look.ask(STUDIES, q=wanted.q, status=wanted.status, page=wanted.page),
        "statuses": [(status, look.texts.named("choice.status", status)) for status in STATUSES],
    }


async def study(look: Look) -> Values:
    """One study."""
    row = await look.ask(STUDY)
    look.fill(
        CHANGE_STUDY,
        row.row_version,
        title=row.title,
        description=row.description,
        consent_required="on" if row.consent_required else "",
    )
    look.fill(STUDY_STATUS, row.row_version, status=row.status)
    here = await site_choices(look, row)
    look.offer(ADD_SITE, "site", await all_site_choices(look, besides=row.sites))
    look.offer(REMOVE_SITE, "site", here)
    look.offer(INVITE, "site", here)
    published = await look.ask(BATTERIES, per_page=MOST)
    newest = [f"{each.id}@{each.version}" for each in published.data if each.version is not None]
    look.offer(ADD_BATTERY, "name", [(each, each) for each in newest if each not in row.batteries])
    listed = await look.ask_if_allowed(USERS, study=row.code, per_page=_SHOWN)
    members = None if listed is None else [_member(each, row.code) for each in listed.data]
    sites = row.sites[:_SHOWN]
    of_members = [own.site for _, owns in members or () for own in owns]
    return {
        "row": row,
        "sites": sites,
        "names": await site_names(look, [*sites, *of_members]),
        "members": members,
        "more_members": 0 if listed is None else listed.pagination.total - len(listed.data),
    }


def _member(user: Any, study: str) -> tuple[Any, list[Any]]:
    # A list has them as Postgres made them.
    memberships = msgspec.convert(user.memberships, list[Membership])
    return user, [each for each in memberships if each.study == study]


PAGES = [
    Page(
        name="studies",
        path=f"{PATH}/studies",
        template="studies/studies.html",
        view=studies,
        reads=(STUDIES,),
        also=(TEMPLATES,),
        forms=(CREATE_STUDY,),
        filters=StudyFilters,
    ),
    Page(
        name="study",
        path=BELOW,
        template="studies/study.html",
        view=study,
        reads=(STUDY, SITES, BATTERIES),
        also=(USERS,),
        forms=(
            CHANGE_STUDY,
            STUDY_STATUS,
            ADD_SITE,
            REMOVE_SITE,
            ADD_BATTERY,
            REMOVE_BATTERY,
            INVITE,
            REMOVE_MEMBER,
        ),
        area="studies",
    ),
]

"""Accounts of people: who has which role everywhere, and in which study, at which of its sites."""

from typing import Any

import msgspec

from sync_server.api.parameters import Text
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.studies import ROLES, STUDIES
from sync_server.portal.study_pages import MOST, SITES, all_site_choices

USERS = api("GET", "/api/users")
USER = api("GET", "/api/users/{person}")

NOWHERE = "none"


def _role(values: dict[str, Any]) -> dict[str, Any]:
    """A role everywhere; `none` is none."""
    role = values.pop("role_everywhere", NOWHERE)
    return {**values, "role": None if role == NOWHERE else role}


_ROLE = Field("role_everywhere", "choice", choices=(NOWHERE, *ROLES), default=NOWHERE, hint=True)

INVITE = Form(
    name="invite_user",
    calls=api("POST", "/api/users/invite"),
    fields=(
        Field("email", "email", max_length=254),
        Field("name", required=False, max_length=200),
        _ROLE,
        Field("language", "choice", choices=("en", "fr"), default="en"),
    ),
    build=_role,
    shows="studies/invited.html",
)
CHANGE = Form(
    name="change_user",
    calls=api("PATCH", "/api/users/{person}"),
    fields=(
        Field("email", "email", max_length=254),
        Field("name", required=False, blank="empty", max_length=200),
        _ROLE,
        Field("language", "choice", choices=("en", "fr"), default="en"),
    ),
    build=_role,
    versioned=True,
)
PUT_MEMBER = Form(
    name="put_membership",
    calls=api("PUT", "/api/users/{person}/memberships"),
    fields=(
        Field("study", "pick"),
        Field("role", "choice", choices=ROLES, default="coordinator"),
        Field("site", "pick", required=False),
    ),
)
END_MEMBER = Form(
    name="end_membership",
    calls=api("DELETE", "/api/users/{person}/memberships"),
    fields=(Field("study"), Field("site", required=False)),
    danger=True,
)
CLOSE = Form(name="close_account", calls=api("POST", "/api/users/{person}/deactivate"), danger=True)
OPEN = Form(name="open_account", calls=api("POST", "/api/users/{person}/activate"))


class UserFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts."""

    email: Text | None = None
    role: Text | None = None
    study: Text | None = None
    active: Text | None = None
    page: Text = "1"


async def users(look: Look) -> Values:
    """Accounts, as far as somebody may see them."""
    listed = await look.ask(USERS, **msgspec.structs.asdict(look.filters))
    return {
        "listed": listed,
        "roles": [(each, look.texts.named("role", each)) for each in ROLES],
    }


async def user(look: Look) -> Values:
    """One account."""
    one = await look.ask(USER)
    look.fill(
        CHANGE,
        one.row_version,
        email=one.email,
        name=one.name,
        role_everywhere=one.role or NOWHERE,
        language=one.language,
    )
    studies = (await look.ask(STUDIES, per_page=MOST)).data
    look.offer(PUT_MEMBER, "study", [(each.code, each.title or each.code) for each in studies])
    look.offer(PUT_MEMBER, "site", await all_site_choices(look))
    may_manage = look.caller.scope("users.manage")
    return {
        "one": one,
        "is_manager": may_manage.is_everything,
        "manages": may_manage.sees_study,
    }


PAGES = [
    Page(
        name="users",
        path=f"{PATH}/users",
        template="studies/users.html",
        view=users,
        reads=(USERS,),
        forms=(INVITE,),
        filters=UserFilters,
    ),
    Page(
        name="user",
        path=f"{PATH}/users/{{person}}",
        template="studies/user.html",
        view=user,
        reads=(USER, STUDIES, SITES),
        forms=(CHANGE, PUT_MEMBER, END_MEMBER, CLOSE, OPEN),
        area="users",
    ),
]

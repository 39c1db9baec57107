"""Replication: which site databases are kept alike with which others, how that goes, and hubs."""

from typing import Any

import msgspec

from sync_server.api.parameters import Text
from sync_server.errors import InvalidRequest
from sync_server.keys import SETTINGS
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values

JOBS = api("GET", "/api/replication/jobs")
JOB = api("GET", "/api/replication/jobs/{id}")
DEVICES = api("GET", "/api/sync/devices")

_NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}"
_LOGIN = (
    Field("user", required=False, max_length=200),
    Field("password", "password", required=False, max_length=4000, autocomplete="new-password"),
    Field("device_token", "password", required=False, hint=True, max_length=4000),
)


def _with_login(values: dict[str, Any]) -> dict[str, Any]:
    """`user`, `password` and `token` as the `credential` that they are; none where all are left empty."""
    members = {"user": "user", "password": "password", "device_token": "token"}
    login = {member: values.pop(name) for name, member in members.items() if name in values}
    return {**values, "credential": login} if login else values


def _new_job(values: dict[str, Any]) -> dict[str, Any]:
    body = _with_login(values)
    if body["direction"] == "usual":
        del body["direction"]
    if "selector" in body:
        try:
            body["selector"] = msgspec.json.decode(body["selector"])
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidRequest("mending.no_json", details={"path": "$.selector"}) from error
    return body


def _hub(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "role": "hub"}


CREATE = Form(
    name="create_replication",
    calls=api("POST", "/api/replication/jobs"),
    fields=(
        Field("site", hint=True, max_length=63, pattern="[a-z][a-z0-9_\\-]*"),
        Field("name", hint=True, max_length=64, pattern=_NAME),
        Field("kind", "choice", choices=("collected", "published", "custom"), default="collected"),
        Field("direction", "choice", choices=("usual", "push", "pull"), default="usual"),
        Field("url", hint=True, max_length=2000),
        *_LOGIN,
        Field("selector", "long", required=False, hint=True, max_length=100_000),
        Field("continuous", "check", required=False, default="on"),
    ),
    build=_new_job,
)
CHANGE = Form(
    name="change_replication",
    calls=api("PATCH", "/api/replication/jobs/{id}"),
    fields=(
        Field("name", max_length=64, pattern=_NAME),
        Field("url", hint=True, max_length=2000),
        *_LOGIN,
        Field("continuous", "check", required=False),
    ),
    build=_with_login,
    versioned=True,
)
PAUSE = Form(name="pause_replication", calls=api("POST", "/api/replication/jobs/{id}/pause"))
RESUME = Form(name="resume_replication", calls=api("POST", "/api/replication/jobs/{id}/resume"))
RETRY = Form(name="retry_replication", calls=api("POST", "/api/replication/jobs/{id}/retry"))
RETRY_LISTED = Form(name="retry_listed_replication", calls=api("POST", "/api/replication/jobs/{id}/retry"))
RESTART = Form(
    name="restart_replication",
    calls=api("POST", "/api/replication/jobs/{id}/restart"),
    fields=(Field("reason", "long", hint=True, max_length=10_000),),
)
CANCEL = Form(
    name="cancel_replication",
    calls=api("DELETE", "/api/replication/jobs/{id}"),
    versioned=True,
    danger=True,
    then=f"{PATH}/replication",
)
ENROL_HUB = Form(
    name="enrol_hub",
    calls=api("POST", "/api/sync/enrolments"),
    fields=(
        Field("site", hint=True, max_length=63, pattern="[a-z][a-z0-9_\\-]*"),
        Field("device", hint=True, max_length=64, pattern=_NAME),
        Field("label", required=False, max_length=200),
        Field("valid_minutes", "number", default="60", minimum=1, maximum=60 * 24 * 14),
    ),
    build=_hub,
    shows="replication/hub_code.html",
)


class ReplicationFilters(msgspec.Struct, frozen=True, kw_only=True):
    """As the route takes them."""

    site: Text | None = None
    state: Text | None = None
    stuck: Text | None = None
    page: Text = "1"


class HubFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Of a site, or of all."""

    site: Text | None = None
    page: Text = "1"


async def replication(look: Look) -> Values:
    """Jobs, the newest first."""
    wanted: ReplicationFilters = look.filters
    asked = {name: getattr(wanted, name) for name in ("site", "state", "stuck", "page")}
    return {"listed": await look.ask(JOBS, **asked)}


async def job(look: Look) -> Values:
    """One job, with its history."""
    found = await look.ask(JOB)
    look.fill(
        CHANGE,
        found.row_version,
        name=found.name,
        url=found.url,
        user=found.user,
        continuous="on" if found.continuous else "",
    )
    look.fill(CANCEL, found.row_version)
    return {"job": found, "at": {"id": str(found.id)}}


async def hubs(look: Look) -> Values:
    """Hubs of all sites, and how each is."""
    wanted: HubFilters = look.filters
    return {
        "listed": await look.ask(DEVICES, role="hub", site=wanted.site, page=wanted.page),
        "centre": look.request.app[SETTINGS].base_url,
    }


PAGES = [
    Page(
        name="replication",
        path=f"{PATH}/replication",
        template="replication/replication.html",
        view=replication,
        reads=(JOBS,),
        forms=(CREATE, RETRY_LISTED),
        filters=ReplicationFilters,
        live=("list",),
    ),
    Page(
        name="hubs",
        path=f"{PATH}/replication/hubs",
        template="replication/hubs.html",
        view=hubs,
        reads=(DEVICES,),
        forms=(ENROL_HUB,),
        filters=HubFilters,
        live=("list",),
        area="replication",
    ),
    Page(
        name="replication_job",
        path=f"{PATH}/replication/{{id}}",
        template="replication/job.html",
        view=job,
        reads=(JOB,),
        forms=(PAUSE, RESUME, RETRY, RESTART, CHANGE, CANCEL),
        live=("state", "history"),
        area="replication",
    ),
]

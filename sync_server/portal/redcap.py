"""REDCap of a study: its connections and projects, the mapping, what a push would change, the ledger."""

from typing import Any

import msgspec

from sync_server.api.parameters import Text
from sync_server.errors import NotFound
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form, renamed
from sync_server.portal.pages import Look, Page, Paged, Values
from sync_server.portal.study_pages import BELOW, MOST, SITES, STUDY, names_of, site_choices

CONNECTIONS = api("GET", "/api/redcap/connections")
PROJECTS = api("GET", "/api/redcap/projects")
SESSIONS = api("GET", "/api/redcap/sessions")
SESSION = api("GET", "/api/redcap/sessions/{id}")
ATTEMPTS = api("GET", "/api/redcap/sessions/{id}/attempts")
RECORDS = api("GET", "/api/redcap/records")
SETTLE = api("POST", "/api/redcap/records/{id}/settle")
MAPPING = api("GET", "/api/redcap/mappings/{study}")

STATES = ("pending", "allocated", "sent", "accepted", "done", "parked", "retired")
_TOKEN = "[0-9A-Fa-f]{32}"  # noqa: S105 (how one looks)


def _with_token(values: dict[str, Any]) -> dict[str, Any]:
    """`token` is what proves the form itself."""
    return {("token" if name == "api_token" else name): value for name, value in values.items()}


CONNECT = Form(
    name="connect_redcap",
    calls=api("POST", "/api/redcap/connections"),
    fixed={"study": "study"},
    fields=(
        Field("url", hint=True, max_length=2000),
        Field("api_token", "password", hint=True, max_length=32, pattern=_TOKEN),
        Field("site", "pick", required=False, hint=True),
    ),
    build=_with_token,
)
NEW_TOKEN = Form(
    name="new_token",
    calls=api("PATCH", "/api/redcap/connections/{id}"),
    fields=(Field("api_token", "password", max_length=32, pattern=_TOKEN),),
    build=_with_token,
    versioned=True,
)
DISCONNECT = Form(
    name="disconnect_redcap",
    calls=api("DELETE", "/api/redcap/connections/{id}"),
    versioned=True,
    danger=True,
)
TEST = Form(name="test_redcap", calls=api("POST", "/api/redcap/connections/{id}/test"), asks=True)
PAUSE = Form(
    name="pause_project",
    calls=api("POST", "/api/redcap/projects/{project}/pause"),
    fields=(Field("reason", max_length=10_000),),
)
RESUME = Form(name="resume_project", calls=api("POST", "/api/redcap/projects/{project}/resume"))
PULL = Form(name="pull_project", calls=api("POST", "/api/redcap/projects/{project}/pull"))
PUSH = Form(
    name="push_redcap",
    calls=api("POST", "/api/redcap/{study}/push"),
    fields=(
        Field("site", "pick", required=False),
        Field("reason", "long", required=False, max_length=10_000),
    ),
)
KEEP_HERE = Form(
    name="keep_here",
    calls=SETTLE,
    fields=(Field("member"),),
    build=lambda values: {**values, "keep": "here"},
)
KEEP_REDCAP = Form(
    name="keep_redcap",
    calls=SETTLE,
    fields=(Field("member"),),
    build=lambda values: {**values, "keep": "redcap"},
)
SAVE = Form(
    name="save_mapping",
    calls=api("PUT", "/api/redcap/mappings/{study}"),
    fields=(
        Field("mapping", "source", hint=True, max_length=200_000),
        Field("reason", required=False, max_length=10_000),
    ),
    tries=api("POST", "/api/redcap/mappings/{study}/check"),
    versioned=True,
)
COMPARE = Form(
    name="compare_redcap",
    calls=api("POST", "/api/redcap/{study}/preview"),
    fields=(
        Field("site", "pick", required=False),
        Field("page", "number", default="1", minimum=1, maximum=1_000_000),
    ),
    asks=True,
)
RETRY = Form(
    name="retry_redcap",
    calls=api("POST", "/api/redcap/sessions/{id}/retry"),
    locate=renamed(id="entry"),
)


class LedgerFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions of the ledger."""

    state: Text | None = None
    site: Text | None = None
    participant: Text | None = None
    session: Text | None = None
    page: Text = "1"


async def redcap(look: Look) -> Values:
    """How a study stands with REDCap."""
    row = await look.ask(STUDY)
    sites = await site_choices(look, row)
    for form in (CONNECT, PUSH):
        look.offer(form, "site", sites)
    connections = (await look.ask(CONNECTIONS, study=row.code, per_page=MOST)).data
    listed = await look.ask(SESSIONS, study=row.code, **msgspec.structs.asdict(look.filters))
    return {
        "row": row,
        "sites": sites,
        "names": await names_of(look, sites, [*connections, *listed.data]),
        "connections": connections,
        "projects": (await look.ask(PROJECTS, study=row.code, per_page=MOST)).data,
        "records": await look.ask(RECORDS, study=row.code, troubled=True, per_page=25),
        "listed": listed,
        "states": [(each, look.texts.named("ledger_state", each)) for each in STATES],
    }


async def mapping(look: Look) -> Values:
    """The mapping, to be edited; none yet: an empty one."""
    row = await look.ask(STUDY)
    connections = await look.ask(CONNECTIONS, study=row.code, per_page=1)
    try:
        saved = await look.ask(MAPPING)
    except NotFound:
        saved = None
    # 0 is no version of any: it is refused where somebody has made one meanwhile.
    look.fill(SAVE, 0 if saved is None else saved.row_version, mapping=None if saved is None else saved.text)
    return {"row": row, "saved": saved, "is_connected": connections.pagination.total > 0}


async def difference(look: Look) -> Values:
    """What a push would change; asked by its form, since REDCap is asked for it."""
    row = await look.ask(STUDY)
    look.offer(COMPARE, "site", await site_choices(look, row))
    return {"row": row, "connections": await look.ask(CONNECTIONS, study=row.code, per_page=1)}


async def ledger_entry(look: Look) -> Values:
    """One session on its way, and what was tried for it. Raises NotFound: also of another study's."""
    row, entry = await look.ask(STUDY), look.path("entry")
    one = await look.ask(SESSION, path={"id": entry})
    if one.study != row.code:
        raise NotFound(f"There is no such session in {row.code}.")
    attempts = await look.ask(ATTEMPTS, path={"id": entry}, page=look.filters.page)
    return {"row": row, "one": one, "attempts": attempts}


PAGES = [
    Page(
        name="redcap",
        path=f"{BELOW}/redcap",
        template="studies/redcap.html",
        view=redcap,
        reads=(STUDY, SITES, CONNECTIONS, PROJECTS, RECORDS, SESSIONS),
        forms=(CONNECT, NEW_TOKEN, DISCONNECT, TEST, PAUSE, RESUME, PULL, PUSH, KEEP_HERE, KEEP_REDCAP),
        filters=LedgerFilters,
        area="studies",
    ),
    Page(
        name="mapping",
        path=f"{BELOW}/redcap/mapping",
        template="studies/mapping.html",
        view=mapping,
        reads=(STUDY, CONNECTIONS, MAPPING),
        forms=(SAVE,),
        area="studies",
    ),
    Page(
        name="difference",
        path=f"{BELOW}/redcap/difference",
        template="studies/difference.html",
        view=difference,
        reads=(STUDY, CONNECTIONS, SITES),
        forms=(COMPARE,),
        area="studies",
    ),
    Page(
        name="ledger_entry",
        path=f"{BELOW}/redcap/sessions/{{entry}}",
        template="studies/ledger_entry.html",
        view=ledger_entry,
        reads=(STUDY, SESSION, ATTEMPTS),
        forms=(RETRY,),
        filters=Paged,
        area="studies",
    ),
]

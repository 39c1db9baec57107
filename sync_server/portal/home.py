"""What somebody sees first: what came today, what is due, and what needs a hand."""

from typing import Any, NamedTuple

from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.pages import Look, Page, Values

DASHBOARD = api("GET", "/api/dashboard")
QUARANTINE = api("GET", "/api/quarantine")
CONFLICTS = api("GET", "/api/conflicts")
JOBS = api("GET", "/api/jobs")
REPLICATION = api("GET", "/api/replication/jobs")
DEVICES = api("GET", "/api/sync/devices")


SHOWN_SITES = 12


class ToDo(NamedTuple):
    """Something that needs a hand: how many of what, and where it is looked after."""

    kind: str
    number: int
    path: str


async def home(look: Look) -> Values:
    """Everything of one moment."""
    # One more than is shown: whether there are more.
    board = await look.ask(DASHBOARD, sites=SHOWN_SITES + 1)
    todo = [
        ToDo("quarantine", await _total(look, QUARANTINE, waived=False), f"{PATH}/quarantine"),
        ToDo("conflicts", await _total(look, CONFLICTS), f"{PATH}/conflicts"),
        ToDo("stuck", await _total(look, REPLICATION, stuck=True), f"{PATH}/replication?stuck=true"),
        ToDo("dead", await _total(look, JOBS, state="dead"), f"{PATH}/jobs"),
        ToDo("holding", await _total(look, DEVICES, outstanding=True), f"{PATH}/sites?show=holding"),
    ]
    return {
        "board": board,
        "sites": board.sites[:SHOWN_SITES],
        "todo": [each for each in todo if each.number],
        "sessions_today": board.activity[-1].sessions if board.activity else 0,
    }


async def _total(look: Look, route: Any, **query: Any) -> int:
    """How many there are of what somebody may see; none of what they may not."""
    page = await look.ask_if_allowed(route, per_page=1, **query)
    return 0 if page is None else int(page.pagination.total)


PAGES = [
    Page(
        name="home",
        path=f"{PATH}/",
        template="home.html",
        view=home,
        reads=(DASHBOARD,),
        also=(QUARANTINE, CONFLICTS, REPLICATION, JOBS, DEVICES),
        live=("numbers", "todo", "sites"),
    )
]

"""What somebody sees first: what came today, what is due, and what needs a hand."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from reporting.queries.dashboard import SiteHealth
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
    """Something that needs a hand: how many of what, and where it is looked after; None: no page yet."""

    kind: str
    number: int
    path: str | None


async def home(look: Look) -> Values:
    """Everything of one moment."""
    board = await look.ask(DASHBOARD)
    todo = [
        ToDo("quarantine", await _total(look, QUARANTINE, waived=False), None),
        ToDo("conflicts", await _total(look, CONFLICTS), None),
        ToDo("stuck", await _total(look, REPLICATION, stuck=True), None),
        ToDo("dead", await _total(look, JOBS, state="dead"), f"{PATH}/health"),
        ToDo("holding", await _total(look, DEVICES, outstanding=True), f"{PATH}/sites?show=holding"),
    ]
    today = datetime.now(UTC).date()
    return {
        "board": board,
        "sites": sorted(board.sites, key=_worst_first)[:SHOWN_SITES],
        "todo": [each for each in todo if each.number],
        "synced_today": [
            site
            for site in board.sites
            if site.last_push_at is not None and site.last_push_at.date() == today
        ],
        "sessions_today": board.activity[-1].sessions if board.activity else 0,
    }


def _worst_first(site: SiteHealth) -> tuple[int, str]:
    """What needs a person, then what tries again, then what waits somewhere; then by name."""
    waits = site.quarantined or site.conflicts or site.devices_outstanding
    ranks = {"error": 0, "backing_off": 1}
    return ranks.get(site.state or "", 2 if waits else 3), site.site


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

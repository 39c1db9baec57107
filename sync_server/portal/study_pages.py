"""What the pages of a study share: the study itself, its sites and batteries to choose from."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from reporting.participants.roster import today_at
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.pages import Look

STUDY = api("GET", "/api/studies/{study}")
SITES = api("GET", "/api/sites")

BELOW = f"{PATH}/studies/{{study}}"
MOST = 500
"""As many as a list of the API answers at once: of what is chosen from, and of a study's rules."""
_MOST_SITES = 5000
"""To choose from: more are no choice."""


async def site_choices(look: Look, row: Any) -> list[tuple[str, str]]:
    """The sites at which a study runs, as far as somebody may see them, with their names."""
    names = await site_names(look, row)
    return [(code, names.get(code) or code) for code in row.sites]


async def site_names(look: Look, row: Any = None) -> dict[str, str | None]:
    """What sites are called, by their codes: those of a study, or all."""
    return {each.site: each.name for each in await _sites(look, row)}


async def todays(look: Look, row: Any) -> set[date]:
    """Which day it is at the sites of a study: more than one where they lie far apart; as in UTC where none
    says where it lies.
    """
    zones = {each.timezone or "UTC" for each in await _sites(look, row)} or {"UTC"}
    now = datetime.now(UTC)
    return {today_at(now, zone) for zone in zones}


async def _sites(look: Look, row: Any) -> Sequence[Any]:
    study = None if row is None else row.code
    found: list[Any] = []
    for page in range(1, _MOST_SITES // MOST + 1):
        # How each stands is not asked for: it is counted for each.
        listed = await look.ask(SITES, study=study, fields="site,name,timezone", per_page=MOST, page=page)
        found += listed.data
        if page >= listed.pagination.pages:
            break
    return found


def batteries_of(row: Any) -> list[tuple[str, str]]:
    """The batteries of a study."""
    return [(each, each) for each in row.batteries]


def found(rows: Sequence[Any], name: str, value: str) -> Any:
    """The row of a list that is meant; None where there is none."""
    return next((row for row in rows if getattr(row, name) == value), None)

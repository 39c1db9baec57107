"""What the pages of a study share: the study itself, its sites and batteries to choose from."""

from collections.abc import Collection, Iterable, Sequence
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
"""Of which it is asked where they lie."""
MOST_CHOICES = 200
"""Of sites to choose from: more are no choice, and heavy on a slow line. Their code is put in instead."""

Choices = Sequence[tuple[str, str]]
"""Codes, and what they are called."""


async def site_choices(look: Look, row: Any) -> Choices | None:
    """The sites at which a study runs, as far as somebody may see them, with their names; None: too many."""
    if len(row.sites) > MOST_CHOICES:
        return None
    names = await site_names(look, row.sites)
    return [(code, names.get(code) or code) for code in row.sites]


async def all_site_choices(look: Look, *, besides: Collection[str] = ()) -> Choices | None:
    """All sites that somebody may see, but for those `besides`; None: too many."""
    listed = await look.ask(SITES, fields="site,name", per_page=MOST)
    left = [(each.site, each.name or each.site) for each in listed.data if each.site not in besides]
    return None if listed.pagination.pages > 1 or len(left) > MOST_CHOICES else left


async def site_names(look: Look, codes: Iterable[str | None]) -> dict[str, str | None]:
    """What these sites are called, by their codes."""
    wanted = sorted({code for code in codes if code is not None})
    names: dict[str, str | None] = {}
    for start in range(0, len(wanted), MOST):
        part = ",".join(wanted[start : start + MOST])
        found = await look.ask(SITES, codes=part, fields="site,name", per_page=MOST)
        names.update((each.site, each.name) for each in found.data)
    return names


async def names_of(look: Look, choices: Choices | None, shown: Iterable[Any]) -> dict[str, str | None]:
    """What the sites of the rows that are shown are called; `choices`: as far as they were asked for."""
    if choices is not None:
        return dict(choices)
    return await site_names(look, [row.site for row in shown])


async def todays(look: Look, row: Any) -> set[date]:
    """Which day it is at the sites of a study: more than one where they lie far apart; as in UTC where none
    says where it lies.
    """
    zones = {each.timezone or "UTC" for each in await _sites(look, row)} or {"UTC"}
    now = datetime.now(UTC)
    return {today_at(now, zone) for zone in zones}


async def _sites(look: Look, row: Any) -> Sequence[Any]:
    found: list[Any] = []
    for page in range(1, _MOST_SITES // MOST + 1):
        # How each stands is not asked for: it is counted for each.
        listed = await look.ask(SITES, study=row.code, fields="timezone", per_page=MOST, page=page)
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

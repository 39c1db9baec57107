"""All connections that a study has, whichever of its sites use them; and asking each what it is.

| what happens | outcome |
|---|---|
| the host is not to be asked now, or does not answer as REDCap does | a sentence in place of what it is |
| the token cannot be opened, or the URL is not allowed any more | the same |
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from reporting.redcap.faults import BadRows, Fault
from reporting.tables import redcap_connections, study_sites
from sync_server.redcap.client import About, Redcap
from sync_server.redcap.connections import Chosen, Unusable, open_client
from sync_server.redcap.site_configs import SiteConfig
from sync_server.redcap.throttle import NoTurn
from sync_server.sealing import CannotOpen, Sealer
from sync_server.settings import Settings


class Redcaps(NamedTuple):
    """What asking a REDCap takes."""

    settings: Settings
    engine: AsyncEngine
    sealer: Sealer

    def client(self, chosen: Chosen) -> Redcap:
        """Of a connection. Raises Unusable, CannotOpen."""
        return open_client(chosen, self.settings, self.engine, self.sealer)


async def connections_of(
    connection: AsyncConnection, study: str, configs: Mapping[str, SiteConfig]
) -> list[Chosen]:
    """The study's own first, then those of its sites, in order."""
    c = redcap_connections.c
    rows = await connection.execute(
        select(c.site, c.url, c.token).where(c.study == study).order_by(c.site.nulls_first())
    )
    found = [Chosen(row.url, row.site, sealed=row.token) for row in rows]
    if any(each.site is None for each in found):
        return found
    own = {each.site for each in found}
    runs_at = select(study_sites.c.site).where(study_sites.c.study == study).order_by(study_sites.c.site)
    for site in await connection.scalars(runs_at):
        config = configs.get(site)
        if config is not None and site not in own:
            found.append(Chosen(config.redcap_url, site, token=config.token))
    return found


async def ask_about(chosen: Chosen, redcaps: Redcaps) -> About | str:
    """What the project is, or why nobody can tell, in a sentence."""
    try:
        answer = await redcaps.client(chosen).read_about()
    except (Unusable, CannotOpen, NoTurn) as error:
        return str(error)
    return answer if isinstance(answer, About) else told_fault(answer)


def told_fault(fault: Fault) -> str:
    """A fault as a sentence for people; tokens are scrubbed from it already."""
    kind = type(fault).__name__
    if isinstance(fault, BadRows):
        return "REDCap refused values."
    said = " ".join(fault.text.split())[:300]
    known: Mapping[str, str] = {
        "NoRights": "REDCap refuses the token, or its user may not do this",
        "Banned": "REDCap's server has banned this server's address",
        "TooBig": "It was too much for REDCap's server",
        "DictionaryChanged": "The project is not what it was",
    }
    return f"{known.get(kind, 'REDCap does not answer as it should')}: {said or 'it said nothing'}."


def sites_with_own(chosen: Sequence[Chosen]) -> frozenset[str]:
    """Sites that do not use the study's connection."""
    return frozenset(each.site for each in chosen if each.site is not None)

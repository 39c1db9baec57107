"""Which connection a study has at a site, and its project's name in the ledger.

| there is | connection | project |
|---|---|---|
| a row of the study and the site | that | `<key>@<site>` |
| a row of the study | that | `<key>` |
| `SITE_CONFIGS` for the site | that | `<key>@<site>` |
| none of them | none: its sessions wait | |

Tokens are opened in the worker, when they are needed, and are in no repr.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from reporting.redcap.mapping import Mapping as StudyMapping
from reporting.redcap.projects import project_key
from reporting.tables import redcap_connections
from reporting.webhooks.addresses import Reach, refusal_of_url
from sync_server.redcap.client import ANSWER_SECONDS, Redcap, host_of
from sync_server.redcap.site_configs import SiteConfig, wrong_token, wrong_url
from sync_server.redcap.throttle import Throttle
from sync_server.redcap.transport import guard
from sync_server.sealing import Sealer
from sync_server.settings import Settings


class Unusable(Exception):
    """A connection that cannot be used, and why, in a sentence."""


class Chosen:
    """A connection: of one site (`site`), or of the whole study. Its token is sealed, or of the settings."""

    def __init__(self, url: str, site: str | None, *, sealed: bytes | None = None, token: str = "") -> None:
        self.url = url
        self.site = site
        self._sealed = sealed
        self._token = token

    def __repr__(self) -> str:
        return f"Chosen({self.url!r}, {self.site!r})"

    def open(self, sealer: Sealer) -> str:
        """The token. Raises CannotOpen."""
        return self._token if self._sealed is None else sealer.open(self._sealed)


def _select_connections(study: str, site: str) -> Select[*tuple[Any, ...]]:
    c = redcap_connections.c
    wanted = select(c.site, c.url, c.token).where(c.study == study, or_(c.site == site, c.site.is_(None)))
    return wanted.order_by(c.site.is_(None))


async def choose(
    connection: AsyncConnection, study: str, site: str, configs: Mapping[str, SiteConfig]
) -> Chosen | None:
    """What the study uses at the site; None where there is nothing."""
    row = (await connection.execute(_select_connections(study, site).limit(1))).one_or_none()
    if row is not None:
        return Chosen(row.url, row.site, sealed=row.token)
    config = configs.get(site)
    return None if config is None else Chosen(config.redcap_url, site, token=config.token)


def project_of(chosen: Chosen, mapping: StudyMapping) -> str:
    """The project as the ledger names it."""
    return project_key(mapping, chosen.site)


def reach_of(settings: Settings) -> Reach:
    """Where REDCap may be: as webhooks, but by a setting of its own: hospitals have it in their network."""
    return Reach(production=settings.environment == "production", private=settings.redcap_private_addresses)


def open_client(
    chosen: Chosen,
    settings: Settings,
    engine: AsyncEngine,
    sealer: Sealer,
    *,
    answer_seconds: float = ANSWER_SECONDS,
) -> Redcap:
    """A client of the project. Raises Unusable, CannotOpen."""
    reach = reach_of(settings)
    if wrong := wrong_url(chosen.url) or refusal_of_url(chosen.url, reach):
        raise Unusable(wrong)
    token = chosen.open(sealer)
    if wrong := wrong_token(token):
        raise Unusable(wrong)
    guard(reach)
    throttle = Throttle(engine, host_of(chosen.url), per_minute=settings.redcap_requests_per_minute)
    return Redcap(chosen.url, token, throttle, answer_seconds=answer_seconds)

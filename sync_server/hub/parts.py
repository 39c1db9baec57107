"""What a running hub consists of, under one typed key of its application."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from replication.store.registry import Registry
from sync_server.gateway.open_requests import OpenRequests
from sync_server.gateway.pace import Paces
from sync_server.hub.contact import LinkState
from sync_server.hub.erased import Erased
from sync_server.hub.records import Records
from sync_server.hub.settings import HubSettings
from sync_server.hub.site_list import SiteList
from sync_server.hub.tablets import Tablets


@dataclass(eq=False)
class Hub:
    """Made at the start, shared by the handlers and the link."""

    settings: HubSettings
    device: str
    """The name that the hub is enrolled under."""
    registry: Registry
    records: Records
    site_list: SiteList
    erased: Erased
    open_requests: OpenRequests
    paces: Paces
    urls: tuple[str, ...]
    """How tablets reach it."""
    fingerprint: str | None = None
    """Of the site CA that it made: `sha256:…`."""
    ca_pem: bytes | None = None
    tablets: Tablets = field(default_factory=Tablets)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something new for the centre."""
    state: LinkState = field(default_factory=lambda: LinkState(since=now()))


HUB = web.AppKey("hub", Hub)


def now() -> datetime:
    """The hub's clock."""
    return datetime.now(UTC)

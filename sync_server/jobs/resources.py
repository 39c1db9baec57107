"""What handlers of outbox entries work with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from replication.client import CouchClient
from reporting.engine import async_engine
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.sealing import Sealer, load_sealer
from sync_server.settings import Settings
from sync_server.store_client import STORE_CLIENT_TIMEOUT, store_client


class Resources(NamedTuple):
    """Open for as long as the worker runs."""

    settings: Settings
    engine: AsyncEngine
    client: CouchClient
    """The site databases, with the service's own credential."""
    purging: CouchClient
    """The same, as somebody who may purge."""
    sealer: Sealer


@asynccontextmanager
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """Raises UnusableSigningKey, UnusableKey, and OSError for the data directory."""
    key = await asyncio.to_thread(load_or_create_signing_key, settings.data_dir)
    sealer = await asyncio.to_thread(load_sealer, settings.data_encryption_keys, settings.data_dir)
    engine = async_engine(settings.database_url, pool_size=2, application_name="metricis-worker")
    # Between two jobs nobody looks at connections: one that the other side closed meanwhile would fail.
    connector = aiohttp.TCPConnector(force_close=True)
    try:
        async with aiohttp.ClientSession(timeout=STORE_CLIENT_TIMEOUT, connector=connector) as session:
            client = store_client(session, settings.feed_url, key, service="worker")
            purging = store_client(session, settings.purging_url, key, service="worker")
            yield Resources(settings, engine, client, purging, sealer)
    finally:
        await engine.dispose()

"""The site databases of the system that a command talks to, and which of them it is about."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from reporting.projection.feed import SiteDatabase, SiteFeed
from sync_server.cli.target import Target, fail
from sync_server.feed import CouchFeed
from sync_server.identity.signing_key_file import UnusableSigningKey, load_or_create_signing_key
from sync_server.store_client import STORE_CLIENT_TIMEOUT, store_client


@asynccontextmanager
async def site_feed(where: Target) -> AsyncIterator[SiteFeed]:
    """The feed, with the system's own credential. Ends the command when there is no key to make one with."""
    try:
        key = await asyncio.to_thread(load_or_create_signing_key, where.data_dir)
    except (UnusableSigningKey, OSError) as error:
        fail(f"The signing key cannot be used: {error}")
    async with aiohttp.ClientSession(timeout=STORE_CLIENT_TIMEOUT) as session:
        client = store_client(session, where.feed_url, key, service="cli")
        yield CouchFeed(client)


async def chosen_databases(feed: SiteFeed, sites: Sequence[str]) -> list[SiteDatabase]:
    """The databases of these sites, of all when none is named. Ends the command for one that is not there."""
    found = await feed.databases()
    unknown = sorted(set(sites) - {database.site for database in found})
    if unknown:
        fail(f"There is no site database of: {', '.join(unknown)}.")
    return sorted(database for database in found if not sites or database.site in sites)

"""The process that follows every site database into Postgres."""

import aiohttp

from reporting.projection.proof_schedule import ProofSchedule
from reporting.projection.pump import Pump
from sync_server.feed import CouchFeed
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.settings import Settings
from sync_server.stop_signal import stop_signal
from sync_server.store_client import STORE_CLIENT_TIMEOUT, store_client


async def run_projector(settings: Settings) -> None:
    """Project until SIGTERM or SIGINT. Raises UnusableSigningKey, and OSError for its directory."""
    stop = stop_signal()
    key = load_or_create_signing_key(settings.data_dir)
    async with aiohttp.ClientSession(timeout=STORE_CLIENT_TIMEOUT) as session:
        client = store_client(session, settings.feed_url, key, service="projector")
        feed = CouchFeed(client)
        await Pump(feed, settings.database_url, proofs=_proof_schedule(feed, settings)).run(stop)


def _proof_schedule(feed: CouchFeed, settings: Settings) -> ProofSchedule | None:
    if not settings.reconcile_interval_minutes:
        return None
    return ProofSchedule(
        feed,
        settings.database_url,
        interval_s=settings.reconcile_interval_minutes * 60,
        full_interval_s=settings.reconcile_full_hours * 3600,
    )

"""The long-running processes: server, projector, relay, worker; and starting them below a supervisor."""

import asyncio
import signal
import sys
import threading
from datetime import timedelta
from functools import partial

import aiohttp
import redis
import structlog
from aiohttp import web

from reporting.engine import sync_engine
from reporting.projection.proof_schedule import ProofSchedule
from reporting.projection.pump import Pump
from sync_server.app import build_app
from sync_server.draining import Requests
from sync_server.embedded.system import EmbeddedSystem
from sync_server.feed import CouchFeed
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.jobs.duties import duties
from sync_server.jobs.queues import RedisQueues
from sync_server.jobs.relay import Relay
from sync_server.lifespan import STORE_CLIENT_TIMEOUT
from sync_server.settings import Settings, own_base_url
from sync_server.store_client import store_client

SHUTDOWN_SECONDS = 20.0
"""What requests in flight get to finish at a stop."""

CUT_OFF_SECONDS = 2.0
"""What a handler that was cut off gets to end. Both together are less than the supervisor's patience."""

log = structlog.get_logger()


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish requests in flight and close the store.

    Raises SettingsError, DirectoryInUse, UnusableSigningKey, and OSError when it cannot listen.
    """
    app = build_app(settings)
    asyncio.run(_serve(app, settings))


async def _serve(app: web.Application, settings: Settings) -> None:
    requests = Requests()
    requests.install(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CUT_OFF_SECONDS)
    stop = _stop_signal()
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        log.info("serving", host=settings.host, port=settings.port)
        await stop.wait()
        log.info("stopping")
        await site.stop()
        await runner.shutdown()
        await requests.drain(seconds=SHUTDOWN_SECONDS)
    finally:
        await runner.cleanup()


def _stop_signal() -> asyncio.Event:
    """Set at SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, stop.set)
    return stop


async def run_projector(settings: Settings) -> None:
    """Project until SIGTERM or SIGINT. Raises UnusableSigningKey, and OSError for its directory."""
    stop = _stop_signal()
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


def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT. What is then being claimed is carried, or given back."""
    stop = threading.Event()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: stop.set())
    engine = sync_engine(settings.database_url, application_name="metricis-relay")
    connection = redis.Redis.from_url(settings.redis_url)
    queues = RedisQueues(connection, lease_seconds=settings.outbox_lease_seconds)
    lease = timedelta(seconds=settings.outbox_lease_seconds)
    try:
        log.info("relaying")
        Relay(engine, queues, lease=lease, duties=duties(settings)).run(stop, settings.database_url)
    finally:
        queues.close()
        engine.dispose()


async def start_services(system: EmbeddedSystem, *, host: str, port: int) -> None:
    """Start server, projector, relay and a worker as children of a running embedded system."""
    base_url = own_base_url(host, port)
    environment = {"HOST": host, "PORT": str(port), "STORE_URL": f"{base_url}/db"}
    command = [sys.executable, "-m", "sync_server"]
    await system.start_service("serve", [*command, "serve"], environment, ready=partial(_answers, base_url))
    for name in ("project", "relay", "work"):
        await system.start_service(name, [*command, name], environment)
    system.announce(base_url)


async def _answers(base_url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.get(f"{base_url}/api/health") as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False

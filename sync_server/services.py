"""The long-running processes: server, projector, relay, worker; and starting them below a supervisor."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

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
from sync_server.jobs.registry import QUEUES, SLOW_QUEUES
from sync_server.jobs.relay import Relay
from sync_server.keys import CA_FINGERPRINT
from sync_server.lifespan import STORE_CLIENT_TIMEOUT
from sync_server.settings import LOOPBACK, Settings, own_base_url
from sync_server.store_client import store_client
from sync_server.tls.serving import ServerTls, server_tls

SHUTDOWN_SECONDS = 20.0
"""What requests in flight get to finish at a stop."""

CUT_OFF_SECONDS = 2.0
"""What a handler that was cut off gets to end. Both together are less than the supervisor's patience."""

log = structlog.get_logger()


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish requests in flight and close the store.

    Raises SettingsError, DirectoryInUse, UnusableSigningKey, UnusableCertificate, and OSError when it cannot
    listen.
    """
    app = build_app(settings)
    tls = server_tls(
        certificate=settings.tls_cert,
        key=settings.tls_key,
        site_ca=settings.site_ca,
        data_dir=settings.data_dir,
        hosts=_names_of_this_machine(settings),
    )
    if tls is not None and tls.ca_fingerprint is not None:
        app[CA_FINGERPRINT] = tls.ca_fingerprint
    asyncio.run(_serve(app, settings, tls))


def _names_of_this_machine(settings: Settings) -> list[str]:
    known = [urlsplit(settings.base_url).hostname, settings.host, socket.gethostname(), *LOOPBACK]
    return [name for name in dict.fromkeys(known) if name not in (None, "", "0.0.0.0", "::")]  # noqa: S104


async def _serve(app: web.Application, settings: Settings, tls: ServerTls | None) -> None:
    requests = Requests()
    requests.install(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CUT_OFF_SECONDS)
    stop = _stop_signal()
    try:
        await runner.setup()
        sites = [
            web.TCPSite(
                runner, settings.host, settings.port, ssl_context=None if tls is None else tls.context
            )
        ]
        if tls is not None:
            sites.append(web.TCPSite(runner, "127.0.0.1", settings.plain_port))
        for site in sites:
            await site.start()
        log.info(
            "serving", host=settings.host, port=settings.port, tls=tls is not None, ca=app.get(CA_FINGERPRINT)
        )
        async with nullcontext() if tls is None else tls.kept_up_to_date():
            await stop.wait()
        log.info("stopping")
        for site in sites:
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


async def start_services(
    system: EmbeddedSystem, *, host: str, port: int, tls: Mapping[str, str] | None = None
) -> None:
    """Start server, projector, relay and two workers as children of a running embedded system.

    `tls` are the settings of the service's TLS, LOCAL_PORT among them; None: without.
    """
    base_url = own_base_url("127.0.0.1", int(tls["LOCAL_PORT"])) if tls else own_base_url(host, port)
    environment = {"HOST": host, "PORT": str(port), "STORE_URL": f"{base_url}/db", **(tls or {})}
    command = [sys.executable, "-m", "sync_server"]
    await system.start_service("serve", [*command, "serve"], environment, ready=partial(_answers, base_url))
    for name in ("project", "relay"):
        await system.start_service(name, [*command, name], environment)
    # A push waits for REDCap's permission to go on; publications must not wait behind it.
    quick = [queue for queue in QUEUES if queue not in SLOW_QUEUES]
    for name, queues in (("work", quick), ("work-redcap", SLOW_QUEUES)):
        queued = [*command, "work", "--queues", ",".join(queues)]
        await system.start_service(name, queued, environment)
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

"""The process that serves the gateway and the API."""

import asyncio
import socket
from contextlib import nullcontext
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from sync_server.app import build_app
from sync_server.draining import Requests
from sync_server.keys import CA_FINGERPRINT
from sync_server.settings import LOOPBACK, Settings
from sync_server.stop_signal import stop_signal
from sync_server.tls.own_names import EVERYWHERE, own_names
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
    public = urlsplit(settings.base_url).hostname or ""
    known = [public, *own_names(settings.host), socket.gethostname(), *LOOPBACK]
    return [name for name in dict.fromkeys(known) if name not in ("", *EVERYWHERE)]


async def _serve(app: web.Application, settings: Settings, tls: ServerTls | None) -> None:
    requests = Requests()
    requests.install(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CUT_OFF_SECONDS)
    stop = stop_signal()
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

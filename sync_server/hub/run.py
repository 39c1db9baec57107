"""A hub's process, from its start to SIGTERM.

    lock the directory ─▶ enrol, once ─▶ open the records ─▶ listen, and keep the link

| what happens | what follows |
|---|---|
| another hub has the directory | DirectoryInUse, before anything else is touched |
| it is not enrolled, and cannot be | NotEnrolled; nothing listens |
| SIGTERM | nobody new, feeds end, requests in flight are answered, the link is cut off, files are closed |
| SIGKILL, power | the next start goes on: store and records are on disk before anybody is told |
"""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from replication.errors import DatabaseExists
from replication.store.registry import Registry
from sync_server.draining import Requests
from sync_server.gateway.open_requests import OpenRequests
from sync_server.gateway.pace import Paces
from sync_server.hub import erased, site_list
from sync_server.hub.app import build_hub
from sync_server.hub.centre import Centre
from sync_server.hub.contact import StepFailure
from sync_server.hub.encryption import load_encryption
from sync_server.hub.erased import Erased
from sync_server.hub.erasing import Eraser
from sync_server.hub.link import Link
from sync_server.hub.membership import Membership, enrolled
from sync_server.hub.parts import Hub
from sync_server.hub.private_store import private_store
from sync_server.hub.records import Records, RecordsFailed
from sync_server.hub.replicating import PATIENCE, Replications
from sync_server.hub.settings import HubSettings
from sync_server.hub.site_list import SiteList
from sync_server.hub.upkeep import compact, write_tablets
from sync_server.tls.own_names import own_names

SHUTDOWN_SECONDS = 20.0
CUT_OFF_SECONDS = 2.0

MOST_URLS = 20
"""As many as the centre takes."""

log = structlog.get_logger()


async def run_hub(settings: HubSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises DirectoryInUse, NotEnrolled, RecordsFailed, ReadableByOthers,
    UnusableCertificate, and OSError where it cannot listen or a file cannot be read.
    """
    stop = _stop_signal()
    # The directory may be one that others can look into; what is made in it is not for them.
    os.umask(0o077)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    registry = Registry(settings.store_dir)
    try:
        async with contextlib.AsyncExitStack() as held:
            trusted = await asyncio.to_thread(_trusted, settings)
            session = await held.enter_async_context(
                aiohttp.ClientSession(timeout=PATIENCE, connector=aiohttp.TCPConnector(ssl=trusted))
            )
            membership = await enrolled(settings, Centre(session, settings.centre, None))
            records = await held.enter_async_context(Records(settings.data_dir / "hub.sqlite"))
            urls = settings.urls or _own_urls(settings)
            encryption = await asyncio.to_thread(load_encryption, settings, urls)
            hub = await _assembled(settings, membership, registry, records, urls)
            if hub.site_list.version is None:
                await _first_list(hub, Centre(session, settings.centre, membership.token))
            if encryption is not None:
                hub.fingerprint, hub.ca_pem = encryption.tls.ca_fingerprint, encryption.ca_pem
                await held.enter_async_context(encryption.tls.kept_up_to_date())
            await held.enter_async_context(_linked(hub, membership, session))
            await _serve(hub, stop, None if encryption is None else encryption.tls.context)
    finally:
        await registry.close()


async def _assembled(
    settings: HubSettings,
    membership: Membership,
    registry: Registry,
    records: Records,
    urls: tuple[str, ...],
) -> Hub:
    with contextlib.suppress(DatabaseExists):
        await registry.create(settings.database)
    key = await asyncio.to_thread(erased.load_key, settings.data_dir)
    known, kept_list = await records.do(lambda c: (erased.kept(c), site_list.load(c)))
    hub = Hub(
        settings=settings,
        device=membership.device,
        registry=registry,
        records=records,
        site_list=SiteList(settings.site),
        erased=Erased(key, known),
        open_requests=OpenRequests(),
        paces=Paces(
            requests_per_minute=settings.requests_per_minute,
            megabytes_per_minute=settings.megabytes_per_minute,
        ),
        urls=urls,
    )
    if kept_list is not None:
        hub.site_list.replace(kept_list)
    return hub


async def _first_list(hub: Hub, centre: Centre) -> None:
    """Without a list no tablet is let in: it is fetched before anything listens, if the centre answers."""
    try:
        fetched = await centre.site_list(None)
        if fetched is not None:
            hub.site_list.replace(fetched)
            await hub.records.do(lambda c: site_list.save(c, fetched))
    except (StepFailure, ValueError) as failure:
        log.warning("site list not fetched; tablets wait", reason=str(failure))


@contextlib.asynccontextmanager
async def _linked(hub: Hub, membership: Membership, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Keep the link, and write which tablets were seen, until the end of the block."""
    settings = hub.settings
    async with private_store(hub.registry, hub.erased, memory_mb=settings.memory_mb) as store:
        centre = Centre(session, settings.centre, membership.token)
        replications = Replications(
            store,
            session,
            server=hub.registry.uuid,
            database=settings.database,
            centre=settings.centre,
            token=membership.token,
        )
        eraser = Eraser(hub.records, hub.erased, store.client, settings.database)
        link = Link(hub, centre, replications, eraser)
        async with (
            _in_background(write_tablets(hub), name="tablets"),
            _in_background(compact(hub), name="compaction"),
            _in_background(link.run(), name="link"),
        ):
            yield
        with contextlib.suppress(RecordsFailed):
            await hub.tablets.write(hub.records)


@contextlib.asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Have it done until the end of the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _serve(hub: Hub, stop: asyncio.Event, tls: ssl.SSLContext | None) -> None:
    app = build_hub(hub)
    requests = Requests()
    requests.install(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CUT_OFF_SECONDS)
    try:
        await runner.setup()
        site = web.TCPSite(runner, hub.settings.host, hub.settings.port, ssl_context=tls)
        await site.start()
        log.info(
            "serving", host=hub.settings.host, port=hub.settings.port, urls=hub.urls, site=hub.settings.site
        )
        await stop.wait()
        log.info("stopping")
        await site.stop()
        await runner.shutdown()
        await requests.drain(seconds=SHUTDOWN_SECONDS)
    finally:
        await runner.cleanup()


def _trusted(settings: HubSettings) -> ssl.SSLContext:
    """Whom the hub believes to be the centre. Raises OSError."""
    return ssl.create_default_context(cafile=settings.centre_ca)


def _own_urls(settings: HubSettings) -> tuple[str, ...]:
    scheme = "https" if settings.encrypted else "http"
    hosts = [f"[{name}]" if ":" in name else name for name in own_names(settings.host)]
    return tuple(f"{scheme}://{host}:{settings.port}" for host in hosts[:MOST_URLS])


def _stop_signal() -> asyncio.Event:
    """Set at SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, stop.set)
    return stop

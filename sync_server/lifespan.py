"""What the running application holds, from start to stop, as cleanup contexts under typed keys.

They start in the order listed and stop in reverse. A stop loses nothing: waiting feeds answer with what they
have, requests in flight are finished (`draining`), then the store writes out what it accepted.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import sqlalchemy.exc
import structlog
from aiohttp import web
from redis.asyncio import Redis

from reporting.engine import async_engine
from sync_server.audit_sealing import follow_audit_log
from sync_server.gateway.activity import Activity
from sync_server.gateway.corrections import SiteCorrections
from sync_server.gateway.erased import ErasedFingerprints
from sync_server.gateway.store import SiteStore
from sync_server.gateway.verified import RememberingVerifier
from sync_server.identity.ended_logins import EndedLogins, MemoryStorage, RedisStorage
from sync_server.identity.revocations import KnownCredentials
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.identity.users import EmailTaken, InvalidEmail, create_first_admin
from sync_server.keys import (
    ACTIVITY,
    CORRECTION_WRITER,
    ENDED_LOGINS,
    ENGINE,
    ERASED,
    KNOWN_CREDENTIALS,
    LEAF_LOOKUP,
    OPEN_REQUESTS,
    REDIS,
    REPLICATOR,
    SEALER,
    SETTINGS,
    SIGNING_KEY,
    SITE_DATABASES,
    STORE_PROBE,
    UPSTREAM,
    VERIFIER,
)
from sync_server.replication_jobs.credentials import look_up_with
from sync_server.sealing import load_sealer
from sync_server.store_client import STORE_CLIENT_TIMEOUT, store_client, store_login

FIRST_READING_SECONDS = 3.0

log = structlog.get_logger()


async def postgres(app: web.Application) -> AsyncIterator[None]:
    """The engine, and the first admin where the settings name one."""
    settings = app[SETTINGS]
    engine = app[ENGINE] = async_engine(settings.database_url)
    if settings.admin_email and settings.admin_password:
        try:
            async with engine.begin() as connection:
                created = await connection.run_sync(
                    lambda c: create_first_admin(
                        c, email=settings.admin_email or "", password=settings.admin_password or ""
                    )
                )
        except sqlalchemy.exc.DBAPIError as error:
            # The service is worth more than the account: tablets sync meanwhile. The driver's own words:
            # SQLAlchemy's quote the parameters, the password's hash among them.
            log.warning("first admin not created", error=str(error.orig))
        except (EmailTaken, InvalidEmail) as error:
            log.warning("first admin not created", error=str(error))
        else:
            if created is not None:
                log.info("first admin created", email=created.email)
    yield
    await engine.dispose()


async def redis(app: web.Application) -> AsyncIterator[None]:
    """The Redis client; it connects when it is first used."""
    client = app[REDIS] = Redis.from_url(app[SETTINGS].redis_url)
    yield
    await client.aclose()


async def ended_logins(app: web.Application) -> AsyncIterator[None]:
    """Which logins have ended, followed in the background. Raises AnotherProcess."""
    settings = app[SETTINGS]
    lifetime = settings.access_token_expire_minutes * 60.0
    alone = settings.session_storage_backend == "memory"
    storage = MemoryStorage(lifetime) if alone else RedisStorage(app[REDIS], lifetime)
    async with EndedLogins(app[ENGINE], storage, alone=alone) as ended:
        app[ENDED_LOGINS] = ended
        yield


async def credentials(app: web.Application) -> AsyncIterator[None]:
    """Who is enrolled, followed in the background.

    The first reading is waited for: a replication that starts in that moment would be told to come again,
    and one that is not live gives up then. Without Postgres the service starts all the same.
    """
    open_requests = app[OPEN_REQUESTS]
    async with KnownCredentials(app[ENGINE], told=open_requests.cut_unless) as known:
        app[KNOWN_CREDENTIALS] = known
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READING_SECONDS):
                await known.next_reading()
        yield


async def activity(app: web.Application) -> AsyncIterator[None]:
    """When devices were last seen."""
    app[ACTIVITY] = Activity(app[ENGINE])
    writing = asyncio.create_task(app[ACTIVITY].run(), name="activity")
    yield
    writing.cancel()
    await asyncio.wait([writing])
    await app[ACTIVITY].write()


async def audit_sealing(app: web.Application) -> AsyncIterator[None]:
    """The audit log's chain, made while the service runs."""
    task = asyncio.create_task(follow_audit_log(app[ENGINE]), name="audit sealing")
    yield
    task.cancel()
    await asyncio.wait([task])


async def erased(app: web.Application) -> AsyncIterator[None]:
    """What was erased and may not come again, followed in the background."""
    async with ErasedFingerprints(app[ENGINE], app[SEALER].fingerprints) as known:
        app[ERASED] = known
        yield


async def store(app: web.Application) -> AsyncIterator[None]:
    """The signing key, and the client with which the API asks the site databases."""
    settings = app[SETTINGS]
    key = await asyncio.to_thread(load_or_create_signing_key, settings.data_dir)
    app[SIGNING_KEY] = key
    app[SEALER] = await asyncio.to_thread(load_sealer, settings.data_encryption_keys, settings.data_dir)
    app[VERIFIER] = RememberingVerifier.from_pem(key.verifier.public_pem)
    async with aiohttp.ClientSession(timeout=STORE_CLIENT_TIMEOUT) as session:
        client = store_client(session, settings.feed_url, key, service="api")
        app[SITE_DATABASES] = client
        site_store = SiteStore(client)
        app[LEAF_LOOKUP] = site_store
        app[STORE_PROBE] = site_store
        app[CORRECTION_WRITER] = SiteCorrections(client)
        yield


async def replicator(app: web.Application) -> AsyncIterator[None]:
    """The replications of this server, with its own credential towards its own databases."""
    running = app[REPLICATOR]
    login = store_login(app[SETTINGS].feed_url, app[SIGNING_KEY], service="replicator")
    await running.start(login.base, login.headers, look_up_with(app[SEALER]))
    yield
    await running.stop()


async def upstream(app: web.Application) -> AsyncIterator[None]:
    """The store behind the gateway, with the service's own login."""
    behind, settings = app[UPSTREAM], app[SETTINGS]
    login = store_login(settings.couchdb_url or "", app[SIGNING_KEY], service="gateway")
    await behind.start(login.base, login.headers)
    yield
    await behind.stop()

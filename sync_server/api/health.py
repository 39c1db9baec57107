"""`/api/health`: is the process alive, and is everything that it needs there?

`/api/health` asks nothing and nobody: a supervisor that restarts a healthy process because Postgres is away
makes an outage worse. `/api/health/detailed` asks each dependency, all at once, two seconds at most each, and
answers 503 when one is down. Anybody may ask, because whoever watches a system has no account; what a
dependency's error *says* (host names, users) is for people who are logged in, by their token's signature
alone, so that it also works while Postgres is the one that is down.

`projection` says per site how many changes wait (`pending`) and for how long the oldest has at least waited
(`lag_seconds`, see `reporting.queries.health`). A lag makes nothing "down": tablets sync on regardless.
`outbox` says by kind what waits to be done outside Postgres, for how long the oldest of it has been due, and
what was given up.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import datetime
from typing import Literal

import msgspec
import psycopg
import redis.exceptions
import sqlalchemy.exc
from aiohttp import web

from reporting.outbox.jobs import OutboxNumbers, select_numbers
from reporting.queries.health import SiteProgress, read_progress
from reporting.sites import database_of
from sync_server.api.answers import answer
from sync_server.api.call import Call, Nothing
from sync_server.api.route import plain
from sync_server.api.seams import StoreProbe, StoreUnreachable
from sync_server.errors import NotAuthenticated
from sync_server.identity.principals import claims_of_token
from sync_server.keys import ENGINE, REDIS, SETTINGS, STORE_PROBE

PATIENCE = 2.0
"""Seconds that each check may take."""

_DOWN = (
    OSError,
    StoreUnreachable,
    psycopg.Error,
    redis.exceptions.RedisError,
    sqlalchemy.exc.SQLAlchemyError,
)


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """`error` only for people who are logged in."""

    status: Literal["ok", "down"]
    latency_ms: float
    error: str | None = None


class SiteLag(msgspec.Struct, frozen=True):
    """None = unknown. `pending` is the store's word now; as of the last batch while the store is down."""

    site: str
    pending: int | None
    lag_seconds: float | None
    advanced_at: datetime | None
    proved_at: datetime | None
    missing: int | None
    """By the last proof."""


class Alive(msgspec.Struct, frozen=True):
    """That there is an answer is the answer."""

    status: Literal["ok"] = "ok"


class Health(msgspec.Struct, frozen=True):
    """`dependencies` by name."""

    status: Literal["ok", "down"]
    dependencies: dict[str, Dependency]
    projection: list[SiteLag]
    outbox: list[OutboxNumbers]


async def alive(request: web.Request) -> web.Response:  # noqa: ARG001 (aiohttp's handler signature)
    """Say that the process is alive."""
    return answer(Alive())


async def detailed(request: web.Request) -> web.Response:
    """Say how each dependency and each site's projection is; 503 when something is down."""
    health = await read_health(request.app, told=await _is_person(request))
    return answer(health, status=200 if health.status == "ok" else 503)


async def asked(call: Call[Nothing, Nothing]) -> Health:
    """The same for a page, which somebody looks at who is logged in, again and again: what waits is as of the
    last batch, and the store is not asked of a thousand sites.
    """
    return await read_health(call.request.app, told=True, sites_by_store=False)


async def read_health(app: web.Application, *, told: bool, sites_by_store: bool = True) -> Health:
    """Ask each dependency, all at once; `told`: with what their errors say; `sites_by_store`: what waits of
    each site is the store's word.
    """
    progress: list[SiteProgress] = []
    outbox: list[OutboxNumbers] = []

    async def ask_postgres() -> None:
        async with app[ENGINE].connect() as connection:
            progress.extend(await read_progress(connection))
            outbox.extend(OutboxNumbers(*row) for row in await connection.execute(select_numbers()))

    # The name says whose trouble it is.
    store = "store" if app[SETTINGS].couchdb_url is None else "couchdb"
    checks: dict[str, Awaitable[object]] = {
        "postgres": ask_postgres(),
        "redis": app[REDIS].ping(),
        store: app[STORE_PROBE].ping(),
    }
    dependencies = dict(
        zip(checks, await asyncio.gather(*(_check(ask) for ask in checks.values())), strict=True)
    )
    probe = app[STORE_PROBE] if sites_by_store and dependencies[store].status == "ok" else None
    projection = await asyncio.gather(*(_lag(site, probe) for site in progress))
    ok = all(dependency.status == "ok" for dependency in dependencies.values())
    if not told:
        dependencies = {
            name: Dependency(status=dependency.status, latency_ms=dependency.latency_ms)
            for name, dependency in dependencies.items()
        }
    return Health("ok" if ok else "down", dependencies, list(projection), outbox)


async def _check(ask: Awaitable[object]) -> Dependency:
    started = time.monotonic()
    error = None
    try:
        async with asyncio.timeout(PATIENCE):
            await ask
    except TimeoutError:
        error = f"no answer within {PATIENCE:g} s"
    except _DOWN as failure:
        error = str(failure) or type(failure).__name__
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    return Dependency(status="ok" if error is None else "down", latency_ms=latency_ms, error=error)


async def _lag(progress: SiteProgress, store: StoreProbe | None) -> SiteLag:
    pending = progress.pending
    if store is not None:
        try:
            async with asyncio.timeout(PATIENCE):
                pending = await store.pending(database_of(progress.site), progress.since or "0")
        except (StoreUnreachable, OSError):
            pending = progress.pending
    waiting_since = progress.waiting_since or progress.advanced_at
    lag = 0.0 if pending == 0 else None
    if lag is None and waiting_since is not None:
        lag = max(0.0, (progress.read_at - waiting_since).total_seconds())
    return SiteLag(
        site=progress.site,
        pending=pending,
        lag_seconds=lag,
        advanced_at=progress.advanced_at,
        proved_at=progress.proved_at,
        missing=progress.missing,
    )


async def _is_person(request: web.Request) -> bool:
    try:
        return await claims_of_token(request) is not None
    except NotAuthenticated:
        return False


ROUTES = [
    plain("GET", "/api/health", alive, right="public", answer=Alive),
    plain(
        "GET",
        "/api/health/detailed",
        detailed,
        right="public",
        answer=Health,
        also={503: Health},
        asked=asked,
    ),
]

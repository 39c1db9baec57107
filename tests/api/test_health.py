"""Health: alive whatever happens, and which dependency is down."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy import Engine

from reporting.tables import checkpoints, devices
from sync_server.api import health
from sync_server.keys import REDIS
from tests.api.calls import Api
from tests.api.rows import log_receipt, put
from tests.api.tree_store import TreeStore
from tests.embedded.supervised import SupervisedSystem
from tests.identity.outage import postgres_away


def checkpoint(site: str, *, advanced_at: datetime, since: str = "7") -> dict[str, object]:
    return {
        "site": site,
        "database": f"site-{site}",
        "epoch": "e1",
        "batch": 3,
        "since": since,
        "pending": 5,
        "rereading": False,
        "advanced_at": advanced_at,
    }


async def test_alive_needs_nobody_and_nothing(
    api: Api, store: TreeStore, postgres_server: SupervisedSystem, database_url: str
) -> None:
    store.down = "gone"
    with postgres_away(postgres_server.superuser_url, database_url):
        answer = await api.sending().get("/api/health")
    assert (answer.status, answer.body) == (200, {"status": "ok"})


async def test_everything_there_is_ok_without_a_login(api: Api) -> None:
    answer = await api.sending().get("/api/health/detailed")
    assert answer.status == 200
    assert answer.body["status"] == "ok"
    assert answer.body["projection"] == []
    assert set(answer.body["dependencies"]) == {"postgres", "redis", "store"}
    for dependency in answer.body["dependencies"].values():
        assert dependency.keys() == {"status", "latency_ms"}
        assert dependency["status"] == "ok"


async def test_postgres_away_is_down_and_its_error_is_for_people_only(
    api: Api, postgres_server: SupervisedSystem, database_url: str
) -> None:
    with postgres_away(postgres_server.superuser_url, database_url):
        stranger = await api.sending().get("/api/health/detailed")
        forged = await api.sending(Authorization="Bearer x").get("/api/health/detailed")
        person = await api.get("/api/health/detailed")
    for answer in (stranger, forged, person):
        assert (answer.status, answer.body["status"]) == (503, "down")
        assert answer.body["dependencies"]["postgres"]["status"] == "down"
        assert answer.body["dependencies"]["redis"]["status"] == "ok"
    assert "error" not in stranger.body["dependencies"]["postgres"]
    assert "error" not in forged.body["dependencies"]["postgres"]
    assert person.body["dependencies"]["postgres"]["error"]
    assert (await api.get("/api/health/detailed")).status == 200


async def test_redis_and_store_away_are_down(api: Api, app: web.Application, store: TreeStore) -> None:
    store.down = "connection refused"
    app_redis = app[REDIS]
    await app_redis.aclose()
    app_redis.connection_pool = Redis.from_url("unix:///nowhere/redis.sock").connection_pool
    answer = await api.get("/api/health/detailed")
    assert answer.status == 503
    assert answer.body["dependencies"]["store"]["error"] == "connection refused"
    assert answer.body["dependencies"]["redis"]["status"] == "down"
    assert answer.body["dependencies"]["postgres"]["status"] == "ok"


async def test_dependency_that_never_answers_is_down_when_patience_ends(
    api: Api, store: TreeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "ping", never)
    monkeypatch.setattr(health, "PATIENCE", 0.5)
    answer = await api.get("/api/health/detailed")
    assert answer.status == 503
    assert answer.body["dependencies"]["store"]["error"] == "no answer within 0.5 s"


async def test_projection_tells_what_waits_at_each_site_and_for_how_long(
    api: Api, engine: Engine, store: TreeStore
) -> None:
    now = datetime.now(UTC)
    night = now - timedelta(hours=9)
    put(
        engine,
        checkpoints,
        checkpoint("backlog", advanced_at=now - timedelta(seconds=100)),
        checkpoint("idle", advanced_at=night),
        checkpoint("morning", advanced_at=night),
    )
    device = {"device": "t", "role": "tablet", "token_sha256": b""}
    put(engine, devices, {**device, "credential": "c1", "site": "fresh"})
    put(engine, devices, {**device, "credential": "c2", "site": "idle"})
    for site, seconds in (("morning", 20), ("morning", 10), ("idle", 30), ("fresh", 40)):
        received_at = now - timedelta(seconds=seconds)
        log_receipt(engine, site, f"session:{seconds}", "1-a", received_at=received_at)
    log_receipt(engine, "morning", "session:x", "1-a", outcome="refused", received_at=night + timedelta(1))
    store.changes = {
        ("site-backlog", "7"): 900,
        ("site-morning", "7"): 2,
        ("site-fresh", "0"): 1,
    }
    answer = await api.sending().get("/api/health/detailed")
    assert answer.status == 200
    sites = {row["site"]: row for row in answer.body["projection"]}
    assert list(sites) == ["backlog", "fresh", "idle", "morning"]
    assert {site: row["pending"] for site, row in sites.items()} == {
        "backlog": 900,
        "fresh": 1,
        "idle": 0,
        "morning": 2,
    }
    assert sites["idle"]["lag_seconds"] == 0
    assert 100 <= sites["backlog"]["lag_seconds"] < 900
    assert 20 <= sites["morning"]["lag_seconds"] < 900
    assert 40 <= sites["fresh"]["lag_seconds"] < 900
    assert sites["fresh"]["advanced_at"] is None
    assert datetime.fromisoformat(sites["idle"]["advanced_at"]) == night


async def test_pending_is_the_last_batchs_while_the_store_is_away(
    api: Api, engine: Engine, store: TreeStore
) -> None:
    put(engine, checkpoints, checkpoint("lima", advanced_at=datetime.now(UTC)))
    store.down = "gone"
    answer = await api.get("/api/health/detailed")
    assert answer.status == 503
    assert answer.body["projection"][0]["pending"] == 5

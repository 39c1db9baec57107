"""Where ended logins are kept."""

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting import engine as engines
from sync_server.identity.ended_logins import EndedLogins, MemoryStorage, RedisStorage


async def test_memory_forgets_what_no_access_token_can_name_any_more() -> None:
    now = 0.0
    storage = MemoryStorage(60, clock=lambda: now)
    await storage.add("a")
    now = 59.0
    await storage.add("b")
    assert await storage.has("a")
    now = 61.0
    await storage.add("c")
    assert [await storage.has(login) for login in ("a", "b", "c")] == [False, True, True]


async def test_redis_tells_other_processes_for_as_long_as_an_access_token_lives(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis, Redis.from_url(redis_url) as elsewhere:
        await RedisStorage(redis, 60).add("ended-for-a-test")
        assert await RedisStorage(elsewhere, 60).has("ended-for-a-test")
        assert not await RedisStorage(elsewhere, 60).has("another")
        assert 0 < await redis.ttl("metricis:ended-login:ended-for-a-test") <= 61


async def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    async with Redis(host="127.0.0.1", port=1) as redis:
        storage = RedisStorage(redis, 60)
        await storage.add("a")
        assert not await storage.has("a")


async def test_without_postgres_it_starts_and_with_a_stop_the_lock_is_free(database_url: str) -> None:
    async with EndedLogins(engines.async_engine("postgresql://x@127.0.0.1:1/none"), MemoryStorage(60)):
        pass
    engine: AsyncEngine = engines.async_engine(database_url)
    for _ in range(2):
        async with EndedLogins(engine, MemoryStorage(60), alone=True) as ended:
            assert not await ended.known("a")
    await engine.dispose()

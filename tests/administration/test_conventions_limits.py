"""How often somebody may ask, and from which address they do."""

from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpClient
from redis.asyncio import Redis
from structlog.testing import capture_logs

from sync_server.app import build_app
from sync_server.caller_address import forwarded_address
from sync_server.limits.budgets import by_address
from sync_server.limits.window import Budget, Limiter, MemoryWindow
from sync_server.settings import Settings, SettingsError, read_settings
from tests.api.calls import Api


def test_eleventh_request_within_any_minute_is_refused_and_refused_ones_do_not_count() -> None:
    now = 0.0
    window, budget = MemoryWindow(lambda: now), Budget("k", 10)
    for second in range(10):
        now = float(second)
        assert window.take(budget).allowed
    for _ in range(100):
        taken = window.take(budget)
        assert (taken.allowed, taken.remaining, taken.reset_s) == (False, 0, 51)
    now = 59.9
    assert not window.take(budget).allowed
    now = 60.0
    assert window.take(budget).allowed
    assert not window.take(budget).allowed
    assert window.take(Budget("other", 10)).remaining == 9


async def test_requests_count_for_all_processes_and_in_memory_while_redis_is_away(redis_url: str) -> None:
    budget = Budget(f"test-{id(object())}", 3)
    async with Redis.from_url(redis_url) as one, Redis.from_url(redis_url) as other:
        taken = [await Limiter(client).take(budget) for client in (one, other, one, other)]
        assert [(each.allowed, each.remaining) for each in taken] == [
            (True, 2),
            (True, 1),
            (True, 0),
            (False, 0),
        ]
        assert all(1 <= each.reset_s <= 60 for each in taken)
        assert 0 < await one.pttl(f"limit:{budget.key}") <= 60_000
    async with Redis.from_url("redis://127.0.0.1:1") as away:
        limiter = Limiter(away)
        with capture_logs() as lines:
            alone = [(await limiter.take(budget)).allowed for _ in range(5)]
    assert alone == [True, True, True, False, False]
    assert [line["event"] for line in lines] == ["requests are limited by each process alone"]


async def test_attempts_to_log_in_are_refused_before_a_password_is_looked_at(
    database_url: str, redis_url: str, tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        data_dir=tmp_path,
        environment="test",
        auth_rate_limit_per_minute=2,
        rate_limit_per_minute=3,
        trusted_proxies=("127.0.0.0/8",),
    )
    api = Api(await aiohttp_client(build_app(settings)), {})
    address = f"2001:db8:{id(api) % 65536:x}:{id(settings) % 65536:x}::"
    here, elsewhere = (api.sending(X_Forwarded_For=f"made up, {address}{n}") for n in (1, 2))
    form = {"username": "a@b.example", "password": "wrong"}
    answers = [await each.call("POST", "/api/auth/login", data=form) for each in (here, elsewhere, here)]
    assert [answer.status for answer in answers] == [401, 401, 429]
    refused = answers[2]
    assert refused.error == (429, "too_many_requests")
    assert refused.headers["X-RateLimit-Limit"] == "2"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert 1 <= int(refused.headers["Retry-After"]) == int(refused.headers["X-RateLimit-Reset"]) <= 60
    # Another budget, another address, and what is never refused.
    assert [(await here.get("/api/sessions")).status for _ in range(4)] == [401, 401, 401, 429]
    assert (await api.sending(X_Forwarded_For="203.0.113.9").get("/api/sessions")).status in (401, 429)
    assert {(await here.get("/api/health")).status for _ in range(9)} == {200}


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("198.51.100.7", ["1.2.3.4"], "198.51.100.7"),
        ("10.0.0.1", ["1.2.3.4, 5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["5.6.7.8", "10.0.0.2"], "5.6.7.8"),
        ("::ffff:10.0.0.1", ["5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["5.6.7.8, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        (None, ["5.6.7.8"], None),
    ],
)
def test_address_is_what_trusted_proxies_say(
    remote: str | None, forwarded: list[str], address: str | None
) -> None:
    assert forwarded_address(remote, forwarded, ("10.0.0.0/8",)) == address


def test_ipv6_addresses_of_one_customer_are_one() -> None:
    assert by_address("2001:db8::1") == by_address("2001:db8::2:3") == "2001:db8::/64"
    assert by_address("192.0.2.1") == "192.0.2.1"
    assert by_address(None) == "unknown"


def test_trusted_proxies_that_are_no_networks_are_refused_at_boot() -> None:
    environ = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "DATA_DIR": "/tmp"}  # noqa: S108
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES: 'proxy' is neither"):
        read_settings({**environ, "TRUSTED_PROXIES": "10.0.0.0/8, proxy"})
    with pytest.raises(SettingsError, match="RATE_LIMIT_PER_MINUTE"):
        read_settings({**environ, "RATE_LIMIT_PER_MINUTE": "0"})

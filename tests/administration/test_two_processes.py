"""Two processes on one database and one Redis: what one of them knows of guesses and of ended logins holds
at the other.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from tests.administration.people import EMAIL, PASSWORD
from tests.gateway.processes import Service

PER_MINUTE = 10


@pytest.fixture
def own_redis(redis_url: str) -> Iterator[str]:
    """A Redis in which no other test has counted requests from this machine."""
    url = f"{redis_url}?db=7"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def services(database_url: str, own_redis: str, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    with ExitStack() as running:
        one, other = (
            Service(
                tmp_path / name,
                database_url=database_url,
                redis_url=own_redis,
                SESSION_STORAGE_BACKEND="redis",
                AUTH_RATE_LIMIT_PER_MINUTE=str(PER_MINUTE),
                ADMIN_EMAIL=EMAIL,
                ADMIN_PASSWORD=PASSWORD,
                DATA_ENCRYPTION_KEYS="A" * 43 + "=",
            )
            for name in ("one", "other")
        )
        running.enter_context(one)
        running.enter_context(other)
        yield one, other


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def log_in(
    http: aiohttp.ClientSession, service: Service, password: str = PASSWORD, email: str = EMAIL
) -> tuple[int, Any]:
    form = {"username": email, "password": password}
    async with http.post(f"{service.base_url}/api/auth/login", data=form) as answer:
        return answer.status, await answer.json()


async def refresh(http: aiohttp.ClientSession, service: Service, token: str) -> tuple[int, Any]:
    body = {"refresh_token": token}
    async with http.post(f"{service.base_url}/api/auth/refresh", json=body) as answer:
        return answer.status, await answer.json()


async def opens(
    http: aiohttp.ClientSession, service: Service, tokens: Any, method: str = "GET", path: str = ""
) -> int:
    """What the access token gets: of the caller's own logins, unless told otherwise."""
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    url = f"{service.base_url}/api/user-sessions{path}"
    async with http.request(method, url, headers=headers) as answer:
        return answer.status


async def test_guesses_are_counted_together_and_what_ends_at_one_has_ended_at_the_other(
    services: tuple[Service, Service], http: aiohttp.ClientSession, own_redis: str
) -> None:
    one, other = services
    # Ten attempts, each at another account: no account is blocked, the address has used up its minute.
    guesses = [
        log_in(http, services[number % 2], "wrong password", f"guess{number}@example.org")
        for number in range(PER_MINUTE)
    ]
    statuses = [status for status, _ in await asyncio.gather(*guesses)]
    assert statuses == [401] * PER_MINUTE, [line for each in services for line in each.lines]
    for service in services:
        status, body = await log_in(http, service)
        assert (status, body["error"]["code"]) == (429, "too_many_requests")
    # The minute is over.
    with redis.Redis.from_url(own_redis) as client:
        client.flushdb()

    _, stolen = await log_in(http, one)
    _, lasting = await log_in(http, other)
    status, newer = await refresh(http, other, stolen["refresh_token"])
    assert status == 200
    assert [await opens(http, service, newer) for service in services] == [200, 200]
    # Used again, at the other process: the login is over, with everything that came of it, at both.
    assert (await refresh(http, one, stolen["refresh_token"]))[0] == 401
    assert [await opens(http, service, newer) for service in services] == [401, 401]
    assert [await opens(http, service, stolen) for service in services] == [401, 401]
    assert (await refresh(http, other, newer["refresh_token"]))[0] == 401
    # And one that is ended: its token opens nothing at either from the answer on.
    _, revoked = await log_in(http, one)
    assert await opens(http, other, lasting, "DELETE") == 204
    assert [await opens(http, service, revoked) for service in services] == [401, 401]
    assert [await opens(http, service, lasting) for service in services] == [200, 200]

"""A device over its budget is slowed, not refused."""

import asyncio

import pytest

from sync_server.gateway import pace as module
from sync_server.gateway.pace import Bucket, Pace, Paces, TooManyRequests


def test_bucket_gives_the_burst_at_once_and_then_what_fills_up() -> None:
    bucket = Bucket(60, now=0.0)
    assert [bucket.spend(1, now=0.0) for _ in range(120)] == [0.0] * 120
    assert bucket.spend(1, now=0.0) == pytest.approx(1.0)
    assert bucket.spend(1, now=0.0) == pytest.approx(2.0)
    assert bucket.spend(1, now=10.0) == 0.0
    # What is saved up is the burst, however long it was quiet.
    assert bucket.spend(120, now=10_000.0) == 0.0
    assert bucket.spend(30, now=10_000.0) == pytest.approx(30.0)


async def test_body_over_the_budget_is_read_as_fast_as_the_bucket_fills() -> None:
    pace = Pace(requests=60, size=60_000, clock=lambda: 0.0)
    await pace.begin()
    await pace.spend(120_000)
    waiting = asyncio.create_task(pace.spend(50))
    await asyncio.sleep(0.01)
    assert pace.waiting == 1
    await waiting
    assert pace.waiting == 0


async def test_more_waiting_requests_than_any_replication_opens_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    pace = Pace(requests=60, size=1, clock=lambda: 0.0)
    for _ in range(120):
        await pace.begin()
    waiting = [asyncio.create_task(pace.begin()) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests) as refused:
        await pace.begin()
    assert refused.value.status == 429
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert pace.waiting == 0


async def test_each_credential_has_a_budget_of_its_own() -> None:
    paces = Paces(requests_per_minute=60, megabytes_per_minute=1)
    assert paces.of("a") is paces.of("a")
    assert paces.of("a") is not paces.of("b")

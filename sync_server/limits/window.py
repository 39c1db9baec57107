"""So many requests within any minute, counted for all processes together.

A sliding window, exactly: the times of the requests that were let in are kept, so the 11th of 10 is refused
also across the turn of a minute. Refused requests do not count, or who hammers would never get in again.
Redis counts in one step and by its own clock, and tells limit, rest and reset at once: `limits`, the library
for it, takes two round trips.

| Redis | what is counted |
|---|---|
| answers | for all processes |
| away, or slow | in memory, each process for itself; asked again after some seconds; said once |
| emptied | from anew |
"""

import asyncio
import math
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

WINDOW_S = 60.0

PATIENCE_S = 0.5
"""Longer than this no request waits for Redis."""

AWAY_S = 5.0
"""So long Redis is left alone after it did not answer."""

_MOST_KEYS = 50_000
"""Of the counts in memory: the oldest are dropped, for a flood of addresses must not fill it."""

_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
local count = redis.call('ZCARD', KEYS[1])
local allowed = 0
if count < limit then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', window / 1000))
  count = count + 1
  allowed = 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local left = 0
if oldest[2] then left = tonumber(oldest[2]) + window - now end
return {allowed, limit - count, string.format('%.0f', left)}
"""

log = structlog.get_logger()


class Budget(msgspec.Struct, frozen=True):
    """Whose requests (`key`), and how many of them in a minute (`limit`)."""

    key: str
    limit: int


class Taken(msgspec.Struct, frozen=True):
    """Whether one more is allowed, how many are after it, and seconds until the next is given back."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int


class MemoryWindow:
    """The count of one process. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, budget: Budget) -> Taken:
        """Ask for one more."""
        now = self._clock()
        times = self._times.setdefault(budget.key, deque())
        self._times.move_to_end(budget.key)
        if len(self._times) > _MOST_KEYS:
            self._times.popitem(last=False)
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        allowed = len(times) < budget.limit
        if allowed:
            times.append(now)
        left = times[0] + WINDOW_S - now if times else 0.0
        return _taken(budget, allowed=allowed, remaining=budget.limit - len(times), left_s=left)


class Limiter:
    """The count in Redis, and in memory while that is away."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._memory = MemoryWindow()
        self._away_until = 0.0

    async def take(self, budget: Budget) -> Taken:
        """Ask for one more of this budget."""
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    allowed, remaining, left_us = await self._script(
                        keys=[f"limit:{budget.key}"],
                        args=[int(WINDOW_S * 1_000_000), budget.limit, uuid.uuid4().hex],
                    )
            except (RedisError, OSError, TimeoutError) as error:
                if self._away_until == 0.0:
                    log.warning("requests are limited by each process alone", error=str(error))
                self._away_until = time.monotonic() + AWAY_S
            else:
                if self._away_until:
                    log.info("requests are limited by Redis again")
                self._away_until = 0.0
                return _taken(budget, allowed=bool(allowed), remaining=remaining, left_s=float(left_us) / 1e6)
        return self._memory.take(budget)


def _taken(budget: Budget, *, allowed: bool, remaining: int, left_s: float) -> Taken:
    return Taken(allowed, budget.limit, max(0, remaining), max(1, math.ceil(left_s)))

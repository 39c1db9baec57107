"""How fast one device may go on: requests and bytes, each a bucket that fills up again by the minute.

PouchDB knows no `Retry-After`: a refusal in the middle of a backlog is an error to it, and one that is not
`live` gives up. So a device over its budget is not refused, it is made slow: its next request waits, and its
bodies are read as fast as its bucket fills, which TCP passes on to the sender. A backlog of weeks fits into
the burst; what is left for the budget is an app gone wild, and it slows nobody but itself.

| what happens | what follows |
|---|---|
| within the burst | nothing is delayed |
| over it | the request, or the next piece of its body, waits until the bucket has it |
| more than MOST_WAITING requests of a device wait | 429: no PouchDB opens so many, and each holds a line |
| the device is quiet | its bucket is full again after BURST_MINUTES |

Each process keeps its own buckets: this protects a process, and bounds nothing that money depends on.
"""

import asyncio
from collections.abc import Callable

from replication.errors import CouchError

BURST_MINUTES = 2.0
"""What a device that was quiet may do at once, as minutes of its budget."""
MOST_WAITING = 64
_FORGET_AFTER_S = 3600.0
_ALWAYS_REMEMBERED = 10_000


class TooManyRequests(CouchError):
    """Somebody sends more at once than any replication does."""

    status = 429
    error = "too_many_requests"


class Bucket:
    """A budget of `per_minute`, of which BURST_MINUTES can be saved up. Pure; times in seconds."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._most = per_minute * BURST_MINUTES
        self._level = self._most
        self._at = now

    def spend(self, amount: float, now: float) -> float:
        """Take `amount`; for how long the taker has to wait until it was there.

        It may be more than the bucket ever holds: whoever comes next waits the longer.
        """
        self._level = min(self._most, self._level + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._level / self._rate)


class Pace:
    """One device's budget."""

    def __init__(self, *, requests: float, size: float, clock: Callable[[], float]) -> None:
        """`requests` and `size` (bytes) a minute."""
        self._clock = clock
        self._requests = Bucket(requests, clock())
        self._bytes = Bucket(size, clock())
        self.last = clock()
        self.waiting = 0
        self.delayed_s = 0.0
        """For how long its requests were held back, all in all."""

    async def begin(self) -> None:
        """Wait until one more request may begin. Raises TooManyRequests."""
        self.last = self._clock()
        delay = self._requests.spend(1, self.last)
        if delay and self.waiting >= MOST_WAITING:
            raise TooManyRequests("this device sends more requests at once than any replication needs")
        await self._wait(delay)

    async def spend(self, size: int) -> None:
        """Wait until so many bytes of a body may be read."""
        self.last = self._clock()
        await self._wait(self._bytes.spend(size, self.last))

    async def _wait(self, delay: float) -> None:
        if not delay:
            return
        self.waiting += 1
        self.delayed_s += delay
        try:
            await asyncio.sleep(delay)
        finally:
            self.waiting -= 1


class Paces:
    """The budgets of all devices that were here lately."""

    def __init__(self, *, requests_per_minute: int, megabytes_per_minute: int) -> None:
        self._requests = requests_per_minute
        self._bytes = megabytes_per_minute * 1_000_000
        self._paces: dict[str, Pace] = {}

    def of(self, credential: str) -> Pace:
        """The budget of a credential."""
        clock = asyncio.get_running_loop().time
        pace = self._paces.get(credential)
        if pace is None:
            if len(self._paces) >= _ALWAYS_REMEMBERED:
                self._forget(clock())
            pace = self._paces[credential] = Pace(requests=self._requests, size=self._bytes, clock=clock)
        return pace

    @property
    def known(self) -> list[Pace]:
        """Of the devices that were here lately."""
        return list(self._paces.values())

    def _forget(self, now: float) -> None:
        self._paces = {
            name: pace
            for name, pace in self._paces.items()
            if pace.waiting or now - pace.last < _FORGET_AFTER_S
        }

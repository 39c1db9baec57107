"""Waiting for something to happen, without missing what happens between looking and waiting."""

import asyncio


class Signal:
    """Counts occurrences. Take `count`, look, then `wait(count, …)`: it returns at once if you looked too
    early.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def notify(self) -> None:
        """It happened: wake everyone who waits. Call it on the event loop."""
        self.count += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, count: int, seconds: float) -> bool:
        """Wait until it happened after `count`, at most `seconds`; whether it did."""
        if self.count != count:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.add(waiter)
        # Not `wait_for`: a thousand feeds may wake at once, and each is the later by what the others cost.
        timer = loop.call_later(seconds, _time_is_up, waiter)
        try:
            await waiter
        except _TimeIsUp:
            return False
        finally:
            timer.cancel()
            self._waiting.discard(waiter)
        return True


class _TimeIsUp(Exception):
    """Nothing happened in time."""


def _time_is_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(_TimeIsUp())

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
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)
        return True

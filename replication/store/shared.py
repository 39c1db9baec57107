"""One read for all who ask the same at the same time.

A commit wakes a thousand feeds, and nearly all of them go on from the same place: they ask one question, in
one turn of the event loop. The first of them starts the read, the others wait for its answer with it.

A question holds the number of the last commit that was told (`Signal.count`): whoever heard of a commit must
not get an answer from before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Reads under way, by question."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, tuple[asyncio.Future[T], list[asyncio.Future[T]]]] = {}

    @property
    def under_way(self) -> int:
        """How many reads are not answered yet."""
        return len(self._under_way)

    async def answer(self, question: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` gives, begun now or by somebody who asked before. Raises what it raises."""
        found = self._under_way.get(question)
        if found is None:
            task = asyncio.ensure_future(read())
            found = self._under_way[question] = (task, [])
            task.add_done_callback(lambda _: self._answered(question))
        # Each waits by itself: one client that goes away must not end the read for the others.
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        found[1].append(waiter)
        return await waiter

    def _answered(self, question: Hashable) -> None:
        task, waiters = self._under_way.pop(question)
        failure = None if task.cancelled() else task.exception()
        for waiter in waiters:
            if waiter.done():
                continue
            if task.cancelled():
                waiter.cancel()
            elif failure is not None:
                waiter.set_exception(failure)
            else:
                waiter.set_result(task.result())

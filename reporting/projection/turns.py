"""Work that is repeated for ever, each piece failing by itself.

Hundreds of sites are polled by one process. One site's database is unreachable, another's answers after half
a minute: neither may hold up the rest. Each site takes turns as a task of its own; a turn that fails sends
only its own site into a backoff, whatever the failure is, because a task hands its exception to whoever looks
instead of unwinding the loop.

```
          due                     turn ended, nothing left
 waiting ─────▶ running ─────────────────────────────────▶ waiting until woken
    ▲              │ more left ─▶ due again, behind the others
    └─ backoff ────┘ failed
```
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

_FIRST_RETRY_S: Final = 0.2
_LONGEST_RETRY_S: Final = 30.0

Turn = Callable[[], Coroutine[Any, Any, float]]
"""Does one piece of work and answers after how many seconds the next is due; `math.inf`: when it is woken."""

OnFailure = Callable[[str, Exception, int, float], None]
"""Is told the name, the failure, how many in a row, and the seconds until the next try."""


def retry_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, up to half a minute."""
    return float(min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(failures - 1, 20)))


@dataclass
class _Worker:
    name: str
    turn: Turn
    due_at: float
    failures: int = 0
    woken: bool = False
    """While it was running: there may be more than it has seen."""
    removed: bool = False
    task: asyncio.Task[float] | None = None


class Turns:
    """Runs the turns of any number of named workers until it is told to stop."""

    def __init__(
        self,
        on_failure: OnFailure,
        *,
        clock: Callable[[], float],
        repeated_at_once: tuple[type[Exception], ...] = (),
    ) -> None:
        """`clock` answers seconds on a scale that never goes back.

        `repeated_at_once` are failures that are part of the work: the first of a row costs no wait.
        """
        self._workers: dict[str, _Worker] = {}
        self._on_failure = on_failure
        self._clock = clock
        self._repeated_at_once = repeated_at_once

    @property
    def names(self) -> frozenset[str]:
        """Who takes turns."""
        return frozenset(name for name, worker in self._workers.items() if not worker.removed)

    @property
    def running(self) -> frozenset[str]:
        """Whose turn is running now, also of those that were removed meanwhile."""
        return frozenset(name for name, worker in self._workers.items() if worker.task is not None)

    def add(self, name: str, turn: Turn) -> None:
        """Take `turn` in from now on; it is due at once, or after the running turn of the same name."""
        running = self._workers.get(name)
        if running is None:
            self._workers[name] = _Worker(name, turn, self._clock())
        else:
            running.turn, running.removed, running.woken = turn, False, True

    def remove(self, name: str) -> None:
        """Give no further turn. One that is running is finished."""
        worker = self._workers[name]
        worker.removed = True
        if worker.task is None:
            del self._workers[name]

    def wake(self, names: Iterable[str]) -> None:
        """There may be work for these: due now, or again if a turn is running. Who backs off sleeps on."""
        for name in names:
            worker = self._workers[name]
            if worker.task is not None:
                worker.woken = True
            elif not worker.failures:
                worker.due_at = self._clock()

    async def run(self, stop: asyncio.Event) -> None:
        """Give turns until `stop` is set; turns then running are cancelled, and over when this returns."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._begin_due()
                await self._wait(stopping)
                self._end_done()
        finally:
            tasks = [stopping, *self._running()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _running(self) -> list[asyncio.Task[float]]:
        return [worker.task for worker in self._workers.values() if worker.task is not None]

    def _begin_due(self) -> None:
        now = self._clock()
        for worker in self._workers.values():
            if worker.task is None and worker.due_at <= now:
                worker.woken = False
                worker.task = asyncio.create_task(worker.turn(), name=f"turn of {worker.name}")

    async def _wait(self, stopping: asyncio.Task[Any]) -> None:
        """Until a turn ends, another is due, or it is time to stop."""
        next_due = min(
            (each.due_at for each in self._workers.values() if each.task is None), default=math.inf
        )
        timeout = None if math.isinf(next_due) else max(0.0, next_due - self._clock())
        await asyncio.wait([stopping, *self._running()], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _end_done(self) -> None:
        for worker in list(self._workers.values()):
            if worker.task is None or not worker.task.done():
                continue
            task, worker.task = worker.task, None
            if worker.removed:
                del self._workers[worker.name]
            failure = task.exception()
            if failure is None:
                worker.failures = 0
                worker.due_at = self._clock() + (0 if worker.woken else task.result())
            elif isinstance(failure, Exception):
                self._back_off(worker, failure)
            else:
                raise failure

    def _back_off(self, worker: _Worker, failure: Exception) -> None:
        worker.failures += 1
        at_once = worker.failures == 1 and isinstance(failure, self._repeated_at_once)
        delay = 0.0 if at_once else retry_after(worker.failures)
        worker.due_at = self._clock() + delay
        self._on_failure(worker.name, failure, worker.failures, delay)

"""Repeated work: turns in order, failures by themselves, waking, stopping."""

import asyncio
import math

import pytest

from reporting.errors import StaleBatch
from reporting.projection.turns import Turn, Turns, retry_after


class Clock:
    """Moves on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Failures(list[tuple[str, int, float]]):
    """What the turns were reported to fail with."""

    def __call__(self, name: str, _failure: Exception, failures: int, delay: float) -> None:
        self.append((name, failures, delay))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def turns(clock: Clock, failures: Failures) -> Turns:
    return Turns(failures, clock=clock, repeated_at_once=(StaleBatch,))


async def run(turns: Turns, stop: asyncio.Event) -> None:
    async with asyncio.timeout(60):
        await turns.run(stop)


def test_wait_before_a_retry_doubles_up_to_half_a_minute() -> None:
    assert [retry_after(n) for n in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6]
    assert retry_after(9) == 30.0
    assert retry_after(10_000) == 30.0


async def test_worker_with_more_to_do_lets_the_others_in_between(turns: Turns) -> None:
    order: list[str] = []
    stop = asyncio.Event()

    def worker(name: str, times: int) -> Turn:
        async def turn() -> float:
            order.append(name)
            if len(order) == 6:
                stop.set()
            return 0.0 if order.count(name) < times else math.inf

        return turn

    turns.add("a", worker("a", 3))
    turns.add("b", worker("b", 3))
    await run(turns, stop)
    assert order == ["a", "b", "a", "b", "a", "b"]


async def test_failing_worker_backs_off_alone(turns: Turns, failures: Failures) -> None:
    stop = asyncio.Event()
    done = 0

    async def failing() -> float:
        raise LookupError("gone")

    async def working() -> float:
        nonlocal done
        done += 1
        if done == 5:
            stop.set()
        return 0.0

    turns.add("failing", failing)
    turns.add("working", working)
    await run(turns, stop)
    assert done == 5
    assert failures == [("failing", 1, 0.2)]


async def test_failures_are_counted_until_a_turn_succeeds(
    turns: Turns, failures: Failures, clock: Clock
) -> None:
    stop = asyncio.Event()
    outcomes = iter([LookupError(), LookupError(), None, LookupError()])

    async def flaky() -> float:
        clock.now += 100
        failure = next(outcomes, StopAsyncIteration)
        if failure is StopAsyncIteration:
            stop.set()
        elif isinstance(failure, LookupError):
            raise failure
        return 0.0

    async def tick() -> float:
        clock.now += 100
        await asyncio.sleep(0)
        return 0.0

    turns.add("flaky", flaky)
    turns.add("tick", tick)
    await run(turns, stop)
    assert failures == [("flaky", 1, 0.2), ("flaky", 2, 0.4), ("flaky", 1, 0.2)]


async def test_failure_that_is_part_of_the_work_is_repeated_at_once_the_first_time(
    turns: Turns, failures: Failures
) -> None:
    stop = asyncio.Event()
    tries = 0

    async def stale() -> float:
        nonlocal tries
        tries += 1
        if tries == 2:
            stop.set()
        raise StaleBatch("lima")

    turns.add("site lima", stale)
    await run(turns, stop)
    assert failures == [("site lima", 1, 0.0), ("site lima", 2, 0.4)]


async def test_woken_worker_takes_another_turn_also_when_it_was_running(turns: Turns) -> None:
    stop = asyncio.Event()
    begun = 0

    async def sleeper() -> float:
        nonlocal begun
        begun += 1
        if begun == 1:
            turns.wake(["sleeper"])
        elif begun == 3:
            stop.set()
        return math.inf

    async def waker() -> float:
        if begun == 2:
            turns.wake(["sleeper"])
            return math.inf
        await asyncio.sleep(0)
        return 0.0

    turns.add("sleeper", sleeper)
    turns.add("waker", waker)
    await run(turns, stop)
    assert begun == 3


async def test_worker_that_backs_off_is_not_woken(turns: Turns, failures: Failures) -> None:
    stop = asyncio.Event()
    woken = 0

    async def failing() -> float:
        raise LookupError("gone")

    async def waker() -> float:
        nonlocal woken
        woken += 1
        turns.wake(["failing"])
        if woken == 5:
            stop.set()
        return 0.0

    turns.add("failing", failing)
    turns.add("waker", waker)
    await run(turns, stop)
    assert failures == [("failing", 1, 0.2)]


async def test_removed_worker_takes_no_further_turn(turns: Turns) -> None:
    stop = asyncio.Event()
    begun = 0

    async def removed() -> float:
        nonlocal begun
        begun += 1
        turns.remove("removed")
        return 0.0

    async def stopper() -> float:
        if "removed" not in turns.names:
            stop.set()
        return 0.0

    turns.add("removed", removed)
    turns.add("stopper", stopper)
    await run(turns, stop)
    assert begun == 1


async def test_worker_removed_and_added_while_running_goes_on(turns: Turns) -> None:
    stop = asyncio.Event()
    seen: list[str] = []

    async def second() -> float:
        seen.append("second")
        stop.set()
        return math.inf

    async def first() -> float:
        seen.append("first")
        turns.remove("site")
        turns.add("site", second)
        return math.inf

    turns.add("site", first)
    await run(turns, stop)
    assert seen == ["first", "second"]


async def test_stopping_cancels_what_runs_and_waits_until_it_is_over(turns: Turns) -> None:
    stop = asyncio.Event()
    over = False

    async def hanging() -> float:
        nonlocal over
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            over = True
        return 0.0

    turns.add("hanging", hanging)
    await run(turns, stop)
    assert over

"""Shapes of handlers: a batch at a time, or one entry after the other.

A handler is `async deliver(entries, resources)` and answers an outcome by entry id. Most kinds have a
function for one entry, `deliver(entry, resources)`, async or not: `one_by_one` makes a handler of it. It
returns when the effect is there (None), or says what came of it; an exception is a failure that may pass.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from reporting.outbox.claims import Started
from reporting.outbox.policy import Done, Failed, Outcome
from sync_server.jobs.resources import Resources

Handler = Callable[[Sequence[Started], Resources], Awaitable[Mapping[int, Outcome]]]

DeliverOne = Callable[[Started, Resources], Any]

AT_ONCE: Final = 8
"""Entries of a batch that are delivered at the same time."""

log = structlog.get_logger()


def one_by_one(deliver: DeliverOne, *, at_once: int = AT_ONCE) -> Handler:
    """A handler that calls `deliver` for each entry, some at once; one that fails leaves the others alone."""

    async def handle(entries: Sequence[Started], resources: Resources) -> Mapping[int, Outcome]:
        places = asyncio.Semaphore(at_once)

        async def one(entry: Started) -> Outcome:
            async with places:
                return await _attempt(deliver, entry, resources)

        outcomes = await asyncio.gather(*(one(entry) for entry in entries))
        return {entry.id: outcome for entry, outcome in zip(entries, outcomes, strict=True)}

    return handle


async def _attempt(deliver: DeliverOne, entry: Started, resources: Resources) -> Outcome:
    try:
        if inspect.iscoroutinefunction(deliver):
            told = await deliver(entry, resources)
        else:
            told = await asyncio.to_thread(deliver, entry, resources)
    except Exception as error:
        # Whatever it is, it is this entry's: it is on record, tried again, and given up in the end.
        log.exception("delivery failed", kind=entry.kind, entry=entry.id)
        return Failed(f"{type(error).__name__}: {error}")
    return Done() if told is None else told

"""The handler of `event`: the deliveries of a batch, in one transaction."""

from collections.abc import Mapping, Sequence

from reporting.outbox.claims import Started
from reporting.outbox.entry import enter_once
from reporting.outbox.policy import Done, Outcome
from reporting.webhooks.fan_out import Listener, deliveries, select_listeners
from sync_server.jobs.resources import Resources


async def fan_out(entries: Sequence[Started], resources: Resources) -> Mapping[int, Outcome]:
    """Put a `webhook` entry into the outbox for each webhook that asked for an event."""
    async with resources.engine.begin() as connection:
        listeners = [Listener(*row) for row in await connection.execute(select_listeners())]
        wanted = [delivery for event in entries for delivery in deliveries(event, listeners)]
        if wanted:
            await connection.execute(enter_once(wanted))
    return dict.fromkeys((entry.id for entry in entries), Done())

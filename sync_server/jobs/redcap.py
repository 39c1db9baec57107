"""The handler of `redcap`: a batch of a site's sessions, brought to REDCap as they are now.

Sessions that were parked are told to webhooks as `redcap.parked`, once each time: by the ticket of the entry.
Whoever dies between the park and the telling tells it at the next change only; the ledger has it anyway.
"""

from collections.abc import Mapping, Sequence

from reporting.outbox.claims import Started
from reporting.outbox.policy import Failed, Outcome
from reporting.webhooks.events import Event, announce
from sync_server.jobs.resources import Resources
from sync_server.redcap.pushing import push


async def push_sessions(entries: Sequence[Started], resources: Resources) -> Mapping[int, Outcome]:
    """What came of each; see `sync_server.redcap.pushing`."""
    outcomes = await push(entries, resources)
    parked = [entry for entry in entries if _needs_a_person(outcomes.get(entry.id))]
    if parked:
        async with resources.engine.begin() as connection:
            await connection.execute(announce(*map(_event, parked)))
    return outcomes


def _needs_a_person(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Failed) and outcome.final


def _event(entry: Started) -> Event:
    return Event(
        name="redcap.parked",
        # As other events of a session's document, so that an erasure finds it.
        occurrence=f"{entry.site}/session:{entry.payload.get('session')}/{entry.ticket}",
        study=entry.study,
        site=entry.site,
        data={"study": entry.study, "site": entry.site, "session": entry.payload.get("session")},
    )

"""The handler of `redcap`: a batch of a site's sessions, brought to REDCap as they are now."""

from collections.abc import Mapping, Sequence

from reporting.outbox.claims import Started
from reporting.outbox.policy import Outcome
from sync_server.jobs.resources import Resources
from sync_server.redcap.pushing import push


async def push_sessions(entries: Sequence[Started], resources: Resources) -> Mapping[int, Outcome]:
    """What came of each; see `sync_server.redcap.pushing`."""
    return await push(entries, resources)

"""The handler of `erasure`: a confirmed erasure, carried out from where it is.

| what happens | outcome |
|---|---|
| it was cancelled, or is done | discarded: there is nothing to do |
| somebody else carries it out at this moment | again later |
| a database or the store is away | the erasure is `failed`; again later, from its last step |
"""

from reporting.erasure.execution import Busy, NotConfirmed, run_erasure
from reporting.outbox.claims import Started
from reporting.outbox.policy import Dropped, Failed, Outcome
from sync_server.jobs.resources import Resources
from sync_server.site_erasing import CouchSiteStore


async def deliver_erasure(entry: Started, resources: Resources) -> Outcome | None:
    """Carry it out. Raises whatever a database or the store raises."""
    store = CouchSiteStore(resources.purging)
    try:
        await run_erasure(resources.engine, store, resources.sealer.fingerprints, int(entry.payload["id"]))
    except NotConfirmed as error:
        return Dropped(str(error))
    except Busy as error:
        return Failed(str(error))
    return None

"""What was erased does not come back with a backup: leaves are recognised as the gateway recognises them.

A set that was made before an erasure still holds what was erased. Erasures that the set's own dump of
Postgres knows of are in force while it is restored; later ones nobody knows here, they have to be run again
(docs/BACKUP.md).
"""

from replication.dump.lines import DumpedLeaf
from replication.dump.loading import Keep
from reporting.erasure.names import Claims, claims_of
from sync_server.gateway.erased import ErasedFingerprints

_CLAIMING = ("session:", "consent:")


def unless_erased(known: ErasedFingerprints, site: str) -> Keep:
    """Lets through what was not erased. Raises Unavailable while Postgres is away."""

    async def keep(leaf: DumpedLeaf, json: bytes | None) -> bool:
        # A large leaf is recognised by its id: all documents of a subject were recorded by theirs.
        claims = claims_of(json) if json is not None and leaf.id.startswith(_CLAIMING) else Claims()
        return not await known.knows(site, leaf.id, claims)

    return keep

"""Who may do what: one table for devices under `/db`, one for people under `/api`; walked by the tests.

A tablet hands in what it collected and fetches what it needs to work. It never reads back sessions or
consents, its own neither: a lost tablet must not be a way to a site's data. A hub hands in what its tablets
wrote.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from replication.http.access import Operation
from replication.wire.decode import Incoming
from sync_server.identity.access_tokens import Role
from sync_server.identity.device_credentials import DeviceCredential, DeviceRole

PUBLISHED_TYPES = ("study", "battery", "item_bank", "consent_form", "participant", "visit")
COLLECTED_TYPES = ("session", "consent", "device")

OPEN = frozenset({Operation.SESSION})
"""What needs no credential: asking whether one is valid."""

REPLICATING = frozenset(
    {
        Operation.SERVER_INFO,
        Operation.DATABASE_INFO,
        Operation.REVS_DIFF,
        Operation.REPLICATE_IN,
        Operation.READ_FEED,
        Operation.READ,
        Operation.LOCAL,
        Operation.FLUSH,
        *OPEN,
    }
)


class Rights(NamedTuple):
    """What a role may do in its database; `readable` and `writable` are document types, None = every id."""

    operations: frozenset[Operation]
    readable: tuple[str, ...] | None
    writable: tuple[str, ...] | None


POLICY: Mapping[DeviceRole, Rights] = {
    "tablet": Rights(REPLICATING, PUBLISHED_TYPES, COLLECTED_TYPES),
    "hub": Rights(REPLICATING, PUBLISHED_TYPES, COLLECTED_TYPES),
    "service": Rights(frozenset(Operation), None, None),
}

Right = Literal[
    "results.read",
    "results.decide",
    "audit.read",
    "users.read",
    "users.manage",
    "studies.read",
    "studies.create",
    "studies.write",
    "sites.read",
    "sites.write",
    "participants.read",
    "participants.contact",
    "participants.write",
    "participants.export",
    "participants.erase",
    "instruments.read",
    "instruments.write",
    "consents.read",
    "consents.write",
    "visits.read",
    "visits.write",
    "collect",
    "devices.read",
    "devices.manage",
    "dashboard.read",
    "webhooks.manage",
    "replication.read",
    "replication.manage",
    "redcap.read",
    "redcap.manage",
    "research.read",
    "research.identified",
    "research.export",
    "research.policy",
    "jobs.read",
    "jobs.manage",
]

_EVERYBODY: frozenset[Role] = frozenset({"admin", "coordinator", "researcher", "read-only"})
_TEAM: frozenset[Role] = frozenset({"admin", "coordinator"})
_ADMINS: frozenset[Role] = frozenset({"admin"})

RIGHTS: Mapping[Right, frozenset[Role]] = {
    "results.read": _EVERYBODY,
    "results.decide": _TEAM,
    "audit.read": _TEAM,
    "users.read": _TEAM,
    "users.manage": _ADMINS,
    "studies.read": _EVERYBODY,
    "studies.create": _ADMINS,
    "studies.write": _TEAM,
    "sites.read": _EVERYBODY,
    "sites.write": _ADMINS,
    "participants.read": _EVERYBODY,
    "participants.contact": _TEAM,
    "participants.write": _TEAM,
    "participants.export": _TEAM | {"researcher"},
    "participants.erase": _ADMINS,
    "instruments.read": _EVERYBODY,
    "instruments.write": _TEAM,
    "consents.read": _EVERYBODY,
    "consents.write": _TEAM,
    "visits.read": _EVERYBODY,
    "visits.write": _TEAM,
    "collect": _TEAM,
    "devices.read": _EVERYBODY,
    "devices.manage": _TEAM,
    "dashboard.read": _EVERYBODY,
    "webhooks.manage": _ADMINS,
    "replication.read": _TEAM,
    "replication.manage": _ADMINS,
    "redcap.read": _TEAM,
    "redcap.manage": _ADMINS,
    "research.read": _EVERYBODY,
    "research.identified": _TEAM,
    "research.export": _TEAM | {"researcher"},
    "research.policy": _ADMINS,
    "jobs.read": _TEAM,
    "jobs.manage": _ADMINS,
}
"""Which roles have a right, in the studies and sites where somebody has that role."""

SHOWN_ID_CHARACTERS = 80
"""A reason quotes so much of an id: its sender chose it, and it may be megabytes."""

RESERVED_LOCALS = ("projector",)
"""`_local` documents of the server's own processes; a foreign hand on one would make it read again from 0."""


def refusal_of_write(credential: DeviceCredential, incoming: Incoming) -> str | None:
    """Why this document may not be written by this credential, in a sentence; None when it may."""
    if incoming.refusal is not None:
        return incoming.refusal.reason
    writable = POLICY[credential.role].writable
    if writable is None or incoming.edit is None:
        return None
    document_type, separator, name = incoming.id.partition(":")
    reason = None
    if not separator or not name or document_type not in writable:
        kinds = ", ".join(writable)
        shown = incoming.id[:SHOWN_ID_CHARACTERS]
        reason = f"a {credential.role} may not write {shown!r}; it may write {kinds} documents"
    elif incoming.edit.deleted:
        reason = "documents are not deleted from a tablet; a withdrawal is a coordinator's act"
    elif document_type == "device" and credential.role == "tablet" and name != credential.device:
        reason = f"a tablet writes its own device document only: device:{credential.device}"
    elif not incoming.edit.path:
        reason = "a replicated document needs its _rev"
    return reason

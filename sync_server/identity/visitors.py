"""Who is at the door, before it is known who they are: what is kept of a request that logs in."""

from typing import Any, NamedTuple

from reporting.audit import AuditEntry
from sync_server.identity.access_tokens import Person


class Visitor(NamedTuple):
    """Where a request came from."""

    address: str | None
    user_agent: str | None
    request_id: str | None


def visited(
    visitor: Visitor, action: str, person: Person, *, known: bool = True, after: Any = None
) -> AuditEntry:
    """The audit entry of what happened to an account; `known`: by its owner, who has shown that."""
    return AuditEntry(
        actor=person.email if known else "unknown",
        actor_kind="person",
        role=person.role if known else None,
        action=action,
        entity="user",
        entity_id=str(person.id),
        after=after,
        request_id=visitor.request_id,
        address=visitor.address,
    )

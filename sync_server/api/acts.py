"""What every act of a person leaves in the audit log: who, in which role, from where, by which request."""

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from reporting.audit import AuditEntry
from sync_server.caller_address import caller_address
from sync_server.identity.access_tokens import Person
from sync_server.request_ids import REQUEST_ID

Reason = Annotated[str, Meta(min_length=1, max_length=10_000, pattern=r"\S")]
"""Why, in the person's words."""

Name = Annotated[str, Meta(min_length=1, max_length=1000)]


def audited(
    request: web.Request,
    person: Person,
    *,
    action: str,
    entity: str,
    entity_id: str,
    study: str | None = None,
    site: str | None = None,
    reason: str | None = None,
    before: Any = None,
    after: Any = None,
) -> AuditEntry:
    """The entry of an act of this person."""
    return AuditEntry(
        actor=person.email,
        actor_kind="person",
        role=person.role,
        action=action,
        entity=entity,
        entity_id=entity_id,
        study=study,
        site=site,
        reason=reason,
        before=before,
        after=after,
        request_id=request[REQUEST_ID],
        address=caller_address(request),
    )

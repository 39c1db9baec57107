"""The audit log, the latest first."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.rows import columns_of
from reporting.queries.snapshot import Listed, Page, list_page
from reporting.tables import audit_log


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; None = any. Both times are included, aware."""

    entity: str | None = None
    entity_id: str | None = None
    site: str | None = None
    actor: str | None = None
    at_from: datetime | None = None
    at_to: datetime | None = None


class AuditRow(msgspec.Struct, frozen=True):
    """One act; see `reporting.tables.audit_log`."""

    id: int
    at: datetime
    actor: str
    actor_kind: str
    role: str | None
    action: str
    entity: str
    entity_id: str
    site: str | None
    study: str | None
    reason: str | None
    before: msgspec.Raw
    after: msgspec.Raw
    request_id: str | None
    address: str | None


def select_audit(wanted: AuditFilter) -> Select[*tuple[Any, ...]]:
    """Statement: matching entries, the latest first."""
    c = audit_log.c
    conditions = (
        (c.entity, wanted.entity),
        (c.entity_id, wanted.entity_id),
        (c.site, wanted.site),
        (c.actor, wanted.actor),
    )
    statement = select(*columns_of(AuditRow, audit_log)).where(
        *(column == value for column, value in conditions if value is not None)
    )
    if wanted.at_from is not None:
        statement = statement.where(c.at >= wanted.at_from)
    if wanted.at_to is not None:
        statement = statement.where(c.at <= wanted.at_to)
    return statement.order_by(c.id.desc())


async def list_audit(connection: AsyncConnection, wanted: AuditFilter, page: Page) -> Listed[AuditRow]:
    """One page of the matching entries."""
    return await list_page(connection, AuditRow, select_audit(wanted), page)

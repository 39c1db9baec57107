"""The audit log, the latest first."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, or_, select

from reporting.queries.rows import columns_of
from reporting.scope import Scope, within
from reporting.tables import audit_log


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; None = any. Both times are included, aware."""

    entity: str | None = None
    entity_id: str | None = None
    site: str | None = None
    study: str | None = None
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


ENTRY = audit_log.c.id
LATEST_FIRST = (ENTRY.desc(),)

SORTABLE = {name: audit_log.c[name] for name in ("at", "actor", "action", "entity", "site", "study")}


def select_audit(wanted: AuditFilter, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: matching entries of the scope, in no order.

    What is of a site and no study is seen by who reaches the site; what is of neither, by who sees
    everything.
    """
    c = audit_log.c
    conditions = (
        (c.entity, wanted.entity),
        (c.entity_id, wanted.entity_id),
        (c.site, wanted.site),
        (c.study, wanted.study),
        (c.actor, wanted.actor),
    )
    statement = select(*columns_of(AuditRow, audit_log)).where(
        _visible(scope), *(column == value for column, value in conditions if value is not None)
    )
    if wanted.at_from is not None:
        statement = statement.where(c.at >= wanted.at_from)
    if wanted.at_to is not None:
        statement = statement.where(c.at <= wanted.at_to)
    return statement


def _visible(scope: Scope) -> ColumnElement[bool]:
    c = audit_log.c
    of_a_study = within(scope, study=c.study, site=c.site)
    return or_(of_a_study, and_(c.study.is_(None), within(scope, site=c.site)))

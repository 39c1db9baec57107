"""Quarantined revisions: what was stored but could not become rows, and why."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.rows import columns_of
from reporting.queries.snapshot import Listed, Page, list_page
from reporting.tables import quarantine


class QuarantineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; None = any. `type` is the document type."""

    site: str | None = None
    code: str | None = None
    type: str | None = None


class QuarantineRow(msgspec.Struct, frozen=True):
    """One quarantined revision: what is wrong (`code`), where (`path`, a JSON path), in words (`message`)."""

    site: str
    doc_id: str
    rev: str
    type: str | None
    code: str
    path: str
    message: str
    quarantined_at: datetime


def select_quarantine(wanted: QuarantineFilter) -> Select[*tuple[Any, ...]]:
    """Statement: matching entries, the latest first; ties by site, document id and revision."""
    c = quarantine.c
    conditions = ((c.site, wanted.site), (c.code, wanted.code), (c.type, wanted.type))
    return (
        select(*columns_of(QuarantineRow, quarantine))
        .where(*(column == value for column, value in conditions if value is not None))
        .order_by(c.quarantined_at.desc(), c.site, c.doc_id, c.rev)
    )


async def list_quarantine(
    connection: AsyncConnection, wanted: QuarantineFilter, page: Page
) -> Listed[QuarantineRow]:
    """One page of the matching entries."""
    return await list_page(connection, QuarantineRow, select_quarantine(wanted), page)

"""Quarantined revisions: what was stored but could not become rows, and why; one by one, and by cause."""

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.rows import columns_of
from reporting.queries.snapshot import Listed, Page, list_page
from reporting.tables import quarantine, waivers

_POSITION: Final = r"\[\d+\]"


class QuarantineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; None = any. `type` is the document type."""

    site: str | None = None
    code: str | None = None
    type: str | None = None
    waived: bool | None = None


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
    waived: bool
    """A person has accepted this problem of this document."""


class QuarantineGroup(msgspec.Struct, frozen=True):
    """Entries with one cause: `path` has its positions replaced by `[*]`."""

    code: str
    type: str | None
    path: str
    site: str
    entries: int
    waived: int
    oldest: datetime
    newest: datetime
    example: str
    """A message of one of them."""


def is_waived() -> ColumnElement[bool]:
    """Whether the problem of an entry is waived."""
    q, w = quarantine.c, waivers.c
    return exists().where(w.site == q.site, w.doc_id == q.doc_id, w.code == q.code, w.path == q.path)


def select_quarantine(wanted: QuarantineFilter) -> Select[*tuple[Any, ...]]:
    """Statement: matching entries, the latest first; ties by site, document id and revision."""
    c = quarantine.c
    waived = is_waived().label("waived")
    return (
        select(*columns_of(QuarantineRow, quarantine, besides=(waived,)))
        .where(*_matching(wanted))
        .order_by(c.quarantined_at.desc(), c.site, c.doc_id, c.rev)
    )


def select_groups(wanted: QuarantineFilter) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of QuarantineGroup, the largest first."""
    c = quarantine.c
    path = func.regexp_replace(c.path, _POSITION, "[*]", "g").label("path")
    entries = func.count()
    return (
        select(
            c.code,
            c.type,
            path,
            c.site,
            entries.label("entries"),
            func.count().filter(is_waived()).label("waived"),
            func.min(c.quarantined_at).label("oldest"),
            func.max(c.quarantined_at).label("newest"),
            func.min(c.message).label("example"),
        )
        .where(*_matching(wanted))
        .group_by(c.code, c.type, path, c.site)
        .order_by(entries.desc(), c.code, c.type, path, c.site)
    )


def _matching(wanted: QuarantineFilter) -> list[ColumnElement[bool]]:
    c = quarantine.c
    conditions = ((c.site, wanted.site), (c.code, wanted.code), (c.type, wanted.type))
    found = [column == value for column, value in conditions if value is not None]
    if wanted.waived is not None:
        found.append(is_waived() if wanted.waived else ~is_waived())
    return found


async def list_groups(
    connection: AsyncConnection, wanted: QuarantineFilter, page: Page
) -> Listed[QuarantineGroup]:
    """One page of the causes."""
    return await list_page(connection, QuarantineGroup, select_groups(wanted), page)


async def list_quarantine(
    connection: AsyncConnection, wanted: QuarantineFilter, page: Page
) -> Listed[QuarantineRow]:
    """One page of the matching entries."""
    return await list_page(connection, QuarantineRow, select_quarantine(wanted), page)

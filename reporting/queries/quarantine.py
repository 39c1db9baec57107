"""Quarantined revisions: what was stored but could not become rows, and why; one by one, and by cause."""

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, exists, func, select

from reporting.queries.rows import columns_of
from reporting.scope import Scope, within
from reporting.tables import quarantine, waivers

_POSITION: Final = r"\[\d+\]"


class QuarantineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; None = any. `type` is the document type, `path` that of a group: without positions."""

    site: str | None = None
    code: str | None = None
    type: str | None = None
    path: str | None = None
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


_c = quarantine.c
LATEST_FIRST = (_c.quarantined_at.desc(), _c.site, _c.doc_id, _c.rev)

SORTABLE = {name: _c[name] for name in ("quarantined_at", "site", "doc_id", "type", "code")}


def select_quarantine(wanted: QuarantineFilter, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: matching entries at the scope's sites, in no order."""
    waived = is_waived().label("waived")
    return select(*columns_of(QuarantineRow, quarantine, besides=(waived,))).where(*_matching(wanted, scope))


_path = func.regexp_replace(_c.path, _POSITION, "[*]", "g").label("path")
LARGEST_FIRST = (func.count().desc(), _c.code, _c.type, _path, _c.site)

SORTABLE_GROUPS = {
    "entries": func.count(),
    "code": _c.code,
    "type": _c.type,
    "site": _c.site,
    "oldest": func.min(_c.quarantined_at),
    "newest": func.max(_c.quarantined_at),
}


def select_revision(site: str, doc_id: str, rev: str | None) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of QuarantineRow, of a quarantined document; the latest revision first."""
    c = quarantine.c
    statement = select(*columns_of(QuarantineRow, quarantine, besides=(is_waived().label("waived"),))).where(
        c.site == site, c.doc_id == doc_id
    )
    if rev is not None:
        statement = statement.where(c.rev == rev)
    return statement.order_by(c.quarantined_at.desc(), c.rev).limit(1)


def select_groups(wanted: QuarantineFilter, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of QuarantineGroup, in no order."""
    c = quarantine.c
    return (
        select(
            c.code,
            c.type,
            _path,
            c.site,
            func.count().label("entries"),
            func.count().filter(is_waived()).label("waived"),
            func.min(c.quarantined_at).label("oldest"),
            func.max(c.quarantined_at).label("newest"),
            func.min(c.message).label("example"),
        )
        .where(*_matching(wanted, scope))
        .group_by(c.code, c.type, _path, c.site)
    )


def _matching(wanted: QuarantineFilter, scope: Scope) -> list[ColumnElement[bool]]:
    c = quarantine.c
    conditions = (
        (c.site, wanted.site),
        (c.code, wanted.code),
        (c.type, wanted.type),
        (_path.element, wanted.path),
    )
    found = [within(scope, site=c.site)]
    found += [column == value for column, value in conditions if value is not None]
    if wanted.waived is not None:
        found.append(is_waived() if wanted.waived else ~is_waived())
    return found

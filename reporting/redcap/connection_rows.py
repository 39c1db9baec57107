"""Connections as people see and change them: statements, without the token."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Delete, Select, Update, delete, exists, func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.scope import Scope, within
from reporting.tables import redcap_connections, redcap_ledger, redcap_projects, study_sites

_c = redcap_connections.c


class ConnectionRow(msgspec.Struct, frozen=True):
    """A connection, without its token. `site` null: every site of the study that has none of its own."""

    id: int
    study: str
    site: str | None
    url: str
    row_version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


COLUMNS: Final = [_c[name] for name in ConnectionRow.__struct_fields__]


def select_connections(scope: Scope, *, study: str | None = None) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ConnectionRow."""
    statement = select(*COLUMNS).where(within(scope, study=_c.study, site=_c.site))
    return statement if study is None else statement.where(_c.study == study)


def select_in_another_project(study: str, site: str | None) -> Select[str]:
    """Statement: projects that have sessions which a new connection, of the site or the study (None), would
    put into a second one.
    """
    r = redcap_ledger.c
    live = select(r.project).where(r.study == study, r.state != "retired").distinct().order_by(r.project)
    if site is not None:
        return live.where(r.site == site, ~r.project.endswith(f"@{site}", autoescape=True))
    own = exists().where(_c.study == study, _c.site == r.site)
    return live.where(r.project.contains("@"), ~own)


def look_at_all(study: str, site: str | None) -> Update:
    """Statement: the next pull of the connection's project looks at all records."""
    p = redcap_projects.c
    is_its = p.project.contains("@") if site is None else p.project.endswith(f"@{site}", autoescape=True)
    is_its = ~is_its if site is None else is_its
    return update(redcap_projects).where(p.study == study, is_its).values(reconciled_at=null())


def select_sealed(number: int) -> Select[bytes]:
    """Statement: its token, sealed."""
    return select(_c.token).where(_c.id == number)


def insert_connection(values: Mapping[str, Any]) -> ReturningInsert[*tuple[Any, ...]]:
    """Statement: a new one; the fields of ConnectionRow. No row: the study, or site of it, has one."""
    return insert(redcap_connections).values(**values).on_conflict_do_nothing().returning(*COLUMNS)


def update_connection(number: int, changes: Mapping[str, Any]) -> Update:
    """Statement: change it; the fields of ConnectionRow."""
    return (
        update(redcap_connections)
        .where(_c.id == number)
        .values(**changes, row_version=_c.row_version + 1, updated_at=func.now())
        .returning(*COLUMNS)
    )


def delete_connection(number: int) -> Delete:
    """Statement: delete it."""
    return delete(redcap_connections).where(_c.id == number)


def select_running_at(study: str, site: str) -> Select[str]:
    """Statement: the site, where the study runs there; it does so until the transaction ends."""
    s = study_sites.c
    return select(s.site).where(s.study == study, s.site == site).with_for_update(read=True)

"""Mappings as people see and change them: statements."""

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Delete, Select, Update, delete, exists, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import redcap_ledger, redcap_mappings, redcap_projects

_m = redcap_mappings.c


class MappingRow(msgspec.Struct, frozen=True):
    """A study's mapping; `definition` as it is kept."""

    study: str
    definition: Any
    row_version: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


COLUMNS: Final = [_m[name] for name in MappingRow.__struct_fields__]


def select_mapping_row(study: str, *, lock: bool = False) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of MappingRow; `lock`: until the transaction ends."""
    statement = select(*COLUMNS).where(_m.study == study)
    return statement.with_for_update() if lock else statement


def insert_mapping(study: str, definition: Any, by: str) -> ReturningInsert[*tuple[Any, ...]]:
    """Statement: a study's first one; the fields of MappingRow. No row: it has one."""
    return (
        insert(redcap_mappings)
        .values(study=study, definition=definition, created_by=by, updated_by=by)
        .on_conflict_do_nothing()
        .returning(*COLUMNS)
    )


def update_mapping(study: str, definition: Any, by: str, *, row_version: int) -> Update:
    """Statement: another one in place of that version; the fields of MappingRow. No row: changed since."""
    return (
        update(redcap_mappings)
        .where(_m.study == study, _m.row_version == row_version)
        .values(definition=definition, updated_by=by, row_version=row_version + 1, updated_at=func.now())
        .returning(*COLUMNS)
    )


def resume_where_checked(project: str) -> Update:
    """Statement: a pause for the sake of the mapping ends, since it was checked; others do not."""
    p = redcap_projects.c
    return (
        update(redcap_projects)
        .where(p.project == project, p.paused_cause.in_(("dictionary", "mapping")))
        .values(paused_at=null(), paused_cause=null(), paused_reason=null())
    )


def forget_projects(study: str, key: str) -> Delete:
    """Statement: the study's projects of that key, in which no session is."""
    p = redcap_projects.c
    is_named = or_(p.project == key, p.project.startswith(f"{key}@", autoescape=True))
    return delete(redcap_projects).where(p.study == study, is_named)


def select_other_study_of(key: str, study: str) -> Select[str]:
    """Statement: a study other than this one whose projects have this key."""
    p = redcap_projects.c
    return select(p.study).where(_has_key(p.project, key), p.study != study).limit(1)


def has_sessions_under(key: str, study: str) -> Select[bool]:
    """Statement: whether the ledger has sessions of the study in projects of this key."""
    r = redcap_ledger.c
    return select(exists().where(_has_key(r.project, key), r.study == study))


def _has_key(project: ColumnElement[str], key: str) -> ColumnElement[bool]:
    return or_(project == key, project.startswith(f"{key}@", autoescape=True))

"""Task modules: what a task is called, and what a battery may tell it.

| what happens | outcome |
|---|---|
| a module is deleted while a draft that uses it is saved | the row lock orders them: one of both is refused |
| a module's schema changes after a draft was saved | the draft is checked again when it is published |
| a module's schema changes after a battery was published | nothing: a published version has its parameters |
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Boolean,
    Delete,
    Integer,
    Select,
    Text,
    Update,
    column,
    delete,
    func,
    literal,
    null,
    select,
    union_all,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from reporting.instruments.built_in_modules import BUILT_IN
from reporting.tables import battery_drafts, task_modules
from reporting.tables.base import Timestamp


class ModuleRow(msgspec.Struct, frozen=True):
    """A module. Built-in ones have no dates, and nobody changes them."""

    id: str
    title: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema (draft 2020-12) of the task's parameters."""
    defaults: dict[str, Any]
    built_in: bool
    row_version: int
    created_at: datetime | None
    updated_at: datetime | None


class Module(NamedTuple):
    """What a battery is checked against."""

    parameters: dict[str, Any]
    defaults: dict[str, Any]


_shipped = values(
    column("id", Text),
    column("title", Text),
    column("description", Text),
    column("parameters", JSONB),
    column("defaults", JSONB),
    name="shipped",
).data(
    [(each.id, each.title, each.description, each.parameters, each.defaults) for each in BUILT_IN.values()]
)

_m = task_modules.c
modules = union_all(
    select(
        _m.id,
        _m.title,
        _m.description,
        _m.parameters,
        _m.defaults,
        literal(False, Boolean).label("built_in"),
        _m.row_version,
        _m.created_at,
        _m.updated_at,
    ).where(_m.id.not_in(list(BUILT_IN))),
    select(
        *_shipped.c,
        literal(True, Boolean),
        literal(1, Integer),
        null().cast(Timestamp),
        null().cast(Timestamp),
    ),
).subquery("modules")
"""Those with a row and those without."""

SORTABLE = {"id": modules.c.id, "title": modules.c.title, "updated_at": modules.c.updated_at}


def select_modules(*, built_in: bool | None = None) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ModuleRow."""
    statement = select(*modules.c)
    return statement if built_in is None else statement.where(modules.c.built_in.is_(built_in))


def select_module(module: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ModuleRow, of one."""
    return select(*modules.c).where(modules.c.id == module)


def lock_module(module: str) -> Select[*tuple[Any, ...]]:
    """Statement: the row of a module that is to change, until the transaction ends."""
    return select(task_modules).where(_m.id == module).with_for_update()


def insert_module(**fields: Any) -> ReturningInsert[Any]:
    """Statement: insert, unless there is one with that id; returns its id."""
    return insert(task_modules).values(**fields).on_conflict_do_nothing().returning(_m.id)


def update_module(module: str, **fields: Any) -> Update:
    """Statement: change these fields."""
    changed = {"row_version": _m.row_version + 1, "updated_at": func.now()}
    return update(task_modules).where(_m.id == module).values(**fields, **changed)


def delete_module(module: str) -> Delete:
    """Statement: delete it."""
    return delete(task_modules).where(_m.id == module)


def select_drafts_that_use(module: str) -> Select[str]:
    """Statement: ids of battery drafts with this task."""
    d = battery_drafts.c
    return select(d.id).where(d.definition.contains({"tasks": [{"task": module}]})).order_by(d.id)


async def modules_of(connection: AsyncConnection, tasks: Iterable[str]) -> dict[str, Module]:
    """The modules of these tasks, as far as they exist; none is deleted before the transaction ends."""
    wanted = set(tasks)
    found = {id_: Module(each.parameters, each.defaults) for id_, each in BUILT_IN.items() if id_ in wanted}
    mine = (
        select(_m.id, _m.parameters, _m.defaults)
        .where(_m.id.in_(sorted(wanted - found.keys())))
        .order_by(_m.id)
        .with_for_update(read=True, key_share=True)
    )
    for row in await connection.execute(mine):
        found[row.id] = Module(row.parameters, row.defaults)
    return found

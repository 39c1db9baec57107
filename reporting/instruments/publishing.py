"""Drafts that change and published versions that never do, of batteries and of item banks.

    draft v1 → publish → version 1;  draft v2 → publish → version 2;  the draft stays

| what happens | outcome |
|---|---|
| published twice at once | the draft's row lock orders them; the second finds nothing new and is refused |
| published while the draft is saved | the version is what the publisher has seen, or `If-Match` fails |
| a version known by id only (no definition) exists | the next one gets the number after it |
| somebody changes a published row | a trigger of the database refuses it |
"""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Delete,
    Select,
    Table,
    Text,
    Update,
    cast,
    delete,
    func,
    or_,
    select,
    true,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from reporting.instruments.json_values import canonical
from reporting.tables import batteries, battery_drafts, item_bank_drafts, item_banks


class Shelf(NamedTuple):
    """Where drafts and published versions of a kind are."""

    drafts: Table
    published: Table


BATTERIES = Shelf(battery_drafts, batteries)
ITEM_BANKS = Shelf(item_bank_drafts, item_banks)


class InstrumentRow(msgspec.Struct, frozen=True):
    """A battery or an item bank: its newest version, and its draft. None: there is none."""

    id: str
    title: str
    version: int | None
    published_at: datetime | None
    draft_row_version: int | None
    draft_updated_at: datetime | None


class VersionRow(msgspec.Struct, frozen=True):
    """A published version, without its content."""

    version: int
    title: str
    tasks: list[str] | None
    """Of a battery: what a completed session must have. None: not known, or an item bank."""
    published_by: str | None
    created_at: datetime


def all_ids(shelf: Shelf) -> Any:
    """Subquery `known`: the ids of drafts and of published versions."""
    return union(select(shelf.drafts.c.id), select(shelf.published.c.id)).subquery("known")


def select_instruments(shelf: Shelf, known: Any) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of InstrumentRow; `known` is `all_ids`."""
    d, p = shelf.drafts.c, shelf.published
    newest = (
        select(p.c.version, p.c.title, p.c.created_at)
        .where(p.c.id == known.c.id)
        .order_by(p.c.version.desc())
        .limit(1)
        .lateral("newest")
    )
    return select(
        known.c.id,
        func.coalesce(d.title, newest.c.title),
        newest.c.version,
        newest.c.created_at,
        d.row_version,
        d.updated_at,
    ).select_from(known.outerjoin(shelf.drafts, d.id == known.c.id).outerjoin(newest, true()))


def select_versions(shelf: Shelf, instrument: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of VersionRow, the newest first."""
    p = shelf.published.c
    tasks = p.tasks if "tasks" in p else cast(None, ARRAY(Text))
    return (
        select(p.version, p.title, tasks, p.published_by, p.created_at)
        .where(p.id == instrument)
        .order_by(p.version.desc())
    )


def select_version(shelf: Shelf, instrument: str, version: int) -> Select[*tuple[Any, ...]]:
    """Statement: the row of a published version."""
    p = shelf.published.c
    return select(shelf.published).where(p.id == instrument, p.version == version)


def select_draft(shelf: Shelf, instrument: str, *, lock: bool = False) -> Select[*tuple[Any, ...]]:
    """Statement: the row of a draft; with `lock` it stays as it is until the transaction ends."""
    statement = select(shelf.drafts).where(shelf.drafts.c.id == instrument)
    return statement.with_for_update() if lock else statement


def insert_draft(shelf: Shelf, instrument: str, title: str, definition: Any) -> ReturningInsert[Any]:
    """Statement: insert, unless there is one with that id; returns its id."""
    values = {"id": instrument, "title": title, "definition": definition}
    return insert(shelf.drafts).values(values).on_conflict_do_nothing().returning(shelf.drafts.c.id)


def update_draft(shelf: Shelf, instrument: str, title: str, definition: Any) -> Update:
    """Statement: replace it."""
    d = shelf.drafts.c
    changed = {"row_version": d.row_version + 1, "updated_at": func.now()}
    return (
        update(shelf.drafts).where(d.id == instrument).values(title=title, definition=definition, **changed)
    )


def delete_draft(shelf: Shelf, instrument: str) -> Delete:
    """Statement: drop it; what is published stays."""
    return delete(shelf.drafts).where(shelf.drafts.c.id == instrument)


async def existing_banks(connection: AsyncConnection, wanted: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of the item banks (id, version) that are published."""
    i = item_banks.c
    if not wanted:
        return set()
    named = or_(*((i.id == id_) & (i.version == version) for id_, version in sorted(wanted)))
    found = await connection.execute(select(i.id, i.version).where(named))
    return {(row.id, row.version) for row in found}


async def same_version(
    connection: AsyncConnection, shelf: Shelf, instrument: str, title: str, definition: Any, *, any_age: bool
) -> int | None:
    """The version that says the same; without `any_age` only if it is the newest.

    The draft must be locked.
    """
    p = shelf.published.c
    statement = select(p.version, p.title, p.definition).where(p.id == instrument).order_by(p.version.desc())
    rows = (await connection.execute(statement if any_age else statement.limit(1))).all()
    wanted = (title, canonical(definition))
    for row in rows:
        if row.definition is not None and (row.title, canonical(row.definition)) == wanted:
            return int(row.version)
    return None


async def publish(
    connection: AsyncConnection,
    shelf: Shelf,
    instrument: str,
    *,
    by: str,
    title: str,
    definition: Any,
    **more: Any,
) -> int:
    """Insert the next version → its number. The draft must be locked."""
    p = shelf.published.c
    number = select(func.coalesce(func.max(p.version), 0) + 1).where(p.id == instrument).scalar_subquery()
    statement = (
        insert(shelf.published)
        .values(id=instrument, version=number, title=title, definition=definition, published_by=by, **more)
        .returning(p.version)
    )
    return int((await connection.execute(statement)).scalar_one())
